"""The client of the web benchmark: so many requests over a few connections that stay open.

One line of JSON in, `[port, connections, requests, status, file of tokens]`, and one line out.
Each connection sends its next request as soon as it has the answer to the last one.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

HEAD = "GET /whoami HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n\r\n"
END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """One connection; `left` requests are shared by all of them."""

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answer = b""
        self.began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self.transport: Any = transport
        self.ask()

    def ask(self) -> None:
        """Send the next request, or end."""
        request = self.load.taken()
        if request is None:
            self.transport.close()
            self.done.set_result(None)
            return
        self.began = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Note an answer when it is complete."""
        self.answer += data
        head, end, body = self.answer.partition(END)
        if end and len(body) == _length(head):
            self.load.took.append(time.perf_counter() - self.began)
            self.load.wrong += not head.startswith(self.load.expected)
            self.answer = b""
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail rather than hang when the server closes first."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed by the server"))


class Load:
    """What is left to ask, and how long the answers took."""

    def __init__(self, requests: Iterator[bytes], number: int, status: int) -> None:
        self.requests, self.left = requests, number
        self.expected = f"HTTP/1.1 {status} ".encode()
        self.took: list[float] = []
        self.wrong = 0

    def taken(self) -> bytes | None:
        """Return the next request, or None."""
        self.left -= 1
        return next(self.requests) if self.left >= 0 else None

    async def run(self, port: int, connections: int) -> dict[str, float]:
        """Send everything; return the rate and the seconds that answers took."""
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        opened = [
            await loop.create_connection(lambda: Connection(self), "127.0.0.1", port)
            for _ in range(connections)
        ]
        await asyncio.wait_for(asyncio.gather(*(each.done for _, each in opened)), 60)
        seconds = time.perf_counter() - began
        ordered = sorted(self.took)
        return {
            "requests_per_second": len(ordered) / seconds, "wrong": self.wrong,
            "p50": ordered[len(ordered) // 2], "p99": ordered[int(0.99 * len(ordered))],
        }  # fmt: skip


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise ValueError("an answer without a length")


def main() -> None:
    """Carry out one load after the other until the standard input ends."""
    requests: dict[tuple[str, int], Iterator[bytes]] = {}
    for line in sys.stdin:
        port, connections, number, status, file = json.loads(line)
        if (file, port) not in requests:
            tokens = json.loads(Path(file).read_text("utf-8"))
            # Goes on where it stopped: a service has to have forgotten what comes round again.
            requests[file, port] = cycle([HEAD.format(token).encode() for token in tokens])
        load = Load(requests[file, port], number, status)
        answer = asyncio.run(load.run(port, connections))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
