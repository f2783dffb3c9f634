"""A client that the user's function makes: one for each process and event loop."""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from inspect import iscoroutine
from typing import Final

from auth_jwks._provider.client import (
    ClientMaker,
    ClosableClient,
    FetchError,
    HTTPResponse,
    is_client,
)

__all__ = ["ClientMaker", "ClosableClient", "MadeClient", "is_client"]


class _Held:
    """A client, and the generator that closes it when it is closed itself."""

    __slots__ = ("client", "holder")

    def __init__(self, client: ClosableClient, holder: AsyncGenerator[None, None]) -> None:
        self.client: Final = client
        self.holder: Final = holder


class MadeClient:
    """Stands for the client of the process and event loop that it is used in.

    The client is closed by `aclose`, or else when its loop ends.
    """

    def __init__(self, make: ClientMaker) -> None:
        self._make = make
        self._held: dict[tuple[int, asyncio.AbstractEventLoop], _Held] = {}

    def __repr__(self) -> str:
        return f"MadeClient(made={len(self._held)})"

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that every request of the client carries. Raises `FetchError`."""
        return self._here().headers

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str],
        timeout: float,
        follow_redirects: bool,
    ) -> AbstractAsyncContextManager[HTTPResponse]:
        """Send a request with the client. Raises `FetchError` if there is none."""
        return self._here().stream(
            method, url, headers=headers, timeout=timeout, follow_redirects=follow_redirects
        )

    async def aclose(self) -> None:
        """Close the client of this process and loop. The next request makes another one."""
        held = self._held.pop(_process_and_loop(), None)
        if held is not None:
            await held.holder.aclose()

    def _here(self) -> ClosableClient:
        pid, loop = _process_and_loop()
        held = self._held.get((pid, loop))
        if held is None:
            from auth_jwks._background_loop import run_at_once

            client = _made(self._make)
            held = _Held(client, _closing(client))
            # Begun here, so that this loop closes it at its end (`shutdown_asyncgens`).
            run_at_once(held.holder.__anext__())
            # Changed in place, and after a copy: other threads may do so with their own loops.
            self._held[pid, loop] = held
            # The clients of a parent process are kept: to be collected would disturb it.
            for at in tuple(self._held):
                if at[0] == pid and at[1].is_closed():
                    self._held.pop(at, None)
        return held.client


def _made(make: ClientMaker) -> ClosableClient:
    try:
        client: object = make()
    except Exception as fault:  # noqa: BLE001 - it is the user's, and may raise anything
        failure = f"the function failed: {type(fault).__name__}"
    else:
        if is_client(client):
            return client
        if iscoroutine(client):
            client.close()
        failure = f"expected the function to make an httpx.AsyncClient, got {type(client).__name__}"
    # Raised outside the handler: what went wrong may hold a secret.
    raise FetchError("http_client", f"http_client: {failure}")


async def _closing(client: ClosableClient) -> AsyncGenerator[None, None]:
    pid = os.getpid()
    try:
        yield
    finally:
        if pid == os.getpid():  # a child would end the connections of its parent
            with suppress(Exception):
                await client.aclose()


def _process_and_loop() -> tuple[int, asyncio.AbstractEventLoop]:
    return os.getpid(), asyncio.get_running_loop()
