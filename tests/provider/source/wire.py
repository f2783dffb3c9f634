"""A server that sends bytes as they are, and what it can send."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable


class Wire:
    """A server that sends the same bytes to each request, and knows who still listens."""

    def __init__(self, answer: bytes) -> None:
        self.url = ""
        self.requests = 0
        self.asked = asyncio.Event()
        self._answer = answer
        self._connections: list[asyncio.Event] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the client goes away."""
        gone = asyncio.Event()
        self._connections.append(gone)
        with contextlib.suppress(ConnectionError, EOFError):
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                writer.write(self._answer)
                self.asked.set()
                await writer.drain()
        gone.set()
        writer.close()

    async def deserted(self) -> None:
        """Return once every client has gone away; `TimeoutError` if one stays."""
        async with asyncio.timeout(60):
            for connection in self._connections:
                await connection.wait()


@contextlib.asynccontextmanager
async def wire(answer: bytes) -> AsyncIterator[Wire]:
    """Serve those bytes on a free port of loopback."""
    served = Wire(answer)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    async with server:
        served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
        yield served


def chunked(pieces: Iterable[bytes]) -> bytes:
    """Return a response without a Content-Length."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
