"""An application behind a real uvicorn, on a free port, in the loop of the test."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

LEGACY = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("DeprecationWarning", "uvicorn.config.UvicornDeprecationWarning")
]
SERVERS = [pytest.param("websockets", marks=LEGACY), "websockets-sansio", "wsproto"]


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[str]:
    """Serve `app` until the context ends; yields `host:port`."""
    options = {"log_level": "critical", "access_log": False, **options}
    config = uvicorn.Config(app, **options)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        port = listener.getsockname()[1]
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await task
