"""A proxy on loopback."""

import asyncio
import contextlib
from collections.abc import Callable

Address = tuple[str, int]


class Tunnel:
    """A proxy that connects clients to whom they name, and remembers what they said.

    `route` may lead them elsewhere.
    """

    def __init__(self, route: Callable[[Address], Address] = lambda address: address) -> None:
        self.port = 0
        self.requests: list[str] = []
        self._route = route

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect one client (RFC 9110 §9.3.6)."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(head)
        method, target, *_ = head.split()
        host, _, port = target.removeprefix("http://").partition("/")[0].partition(":")
        from_host, to_host = await asyncio.open_connection(*self._route((host, int(port or 80))))
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            to_host.write(head.encode())
        await asyncio.gather(copy(reader, to_host), copy(from_host, writer))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass everything on, and the end of it."""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(2**16):
            writer.write(piece)
            await writer.drain()
    writer.close()
