"""What may lie between a worker and its store: a wire that fails, and a port that leads nowhere."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

__all__ = ["Wire", "hung_port", "wired"]


class Wire:
    """Passes on what both ends say. When `silent` it takes all and passes nothing on."""

    def __init__(self, port: int) -> None:
        self.silent = False
        self.lost = 0
        self._port = port
        self._word = b""
        self._cut = False
        self._calls: set[asyncio.Task[None]] = set()

    def lose(self, word: bytes, *, cut: bool) -> None:
        """Swallow the next reply with that word in it; `cut`: and end the connection."""
        self._word, self._cut = word, cut

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either end closes it."""
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        there = asyncio.ensure_future(self._pass_on(reader, far_writer))
        back = asyncio.ensure_future(self._pass_on(far_reader, writer, replies=True))
        self._calls |= {there, back}
        await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        there.cancel()
        back.cancel()
        far_writer.close()
        writer.close()

    def close(self) -> None:
        """End every connection."""
        for call in self._calls:
            call.cancel()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool = False
    ) -> None:
        while words := await reader.read(2**16):
            if replies and self._word and self._word in words:
                self._word = b""
                self.lost += 1
                if self._cut:
                    return
            elif not self.silent:
                writer.write(words)


@asynccontextmanager
async def wired(port: int) -> AsyncIterator[tuple[Wire, str]]:
    """Lay a wire to the server on that port; return it with the URL of its near end."""
    wire = Wire(port)
    server = await asyncio.start_server(wire.join, "127.0.0.1", 0)
    try:
        near = server.sockets[0].getsockname()[1]
        yield wire, f"redis://127.0.0.1:{near}"
    finally:
        server.close()
        wire.close()
        await server.wait_closed()


@contextmanager
def hung_port() -> Iterator[str]:
    """Return the URL of a port whose queue is full: to connect there takes for ever."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            queued = stack.enter_context(socket.socket())
            queued.settimeout(0)
            queued.connect_ex(server.getsockname())
        yield f"redis://127.0.0.1:{server.getsockname()[1]}"
