"""Serves the playground on loopback until Ctrl-C, or until no request has come for a while."""

import argparse
import asyncio
import os
import socket
import time
from contextlib import suppress

import uvicorn

from auth_jwks.testing import FakeIssuer
from examples.demo import ForwardClock
from examples.playground.app import create_app

HOST = "127.0.0.1"


async def serve(port: int, idle: float) -> None:
    """Serve on `port` until a signal, or until no request has come for `idle` seconds."""
    os.environ["no_proxy"] = HOST  # a proxy could not reach this machine's loopback
    clock = ForwardClock()
    with (
        FakeIssuer(algorithm="ES256", clock=clock) as issuer,
        socket.create_server((HOST, port)) as listener,
    ):
        # Connections inherit it. asyncio does not set it on a socket that it did not create.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        app = create_app(issuer, clock)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=2
        )
        server = uvicorn.Server(config)
        print(f"Open http://{HOST}:{listener.getsockname()[1]}/ in a browser.")
        print(f"It stops on Ctrl-C, or after {idle / 60:g} minutes without a visitor.", flush=True)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not serving.done() and time.monotonic() - app.state.seen < idle:
            await asyncio.wait((serving,), timeout=min(1.0, idle))
        server.should_exit = True
        await serving


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m examples.playground", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0, the default, picks a free port")
    parser.add_argument("--idle", type=float, default=1800, help="seconds without a request")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(options.port, options.idle))


if __name__ == "__main__":
    main()
