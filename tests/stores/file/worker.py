"""A worker process over a `FileKeyStore`: one command a line in, one line of JSON out."""

import asyncio
import json
import os
import signal
import sys
from itertools import count

from auth_jwks.stores.base import Granted, Lease, LeaseRequest, Newer
from auth_jwks.stores.file import FileKeyStore

KEY = "key"


class Worker:
    """Runs each command on an event loop of its own."""

    def __init__(self, directory: str) -> None:
        self._store = FileKeyStore(directory)
        self._lease: Lease | None = None

    def poll(self, holder: str, ttl: str) -> list[object]:
        """Ask for a lease; return the class of the answer, and the fence of one granted."""
        request = LeaseRequest(holder, float(ttl), "age")
        answer = asyncio.run(self._store.poll(KEY, known=0, lease=request))
        if isinstance(answer, Granted):
            self._lease = answer.lease
            return ["Granted", answer.lease.fence]
        return [type(answer).__name__]

    def commit(self, payload: str) -> int | None:
        """Commit under the lease held."""
        assert self._lease is not None
        commit = self._store.commit(self._lease, payload.encode(), ttl=1000, window=1)
        return asyncio.run(commit)

    def aclose(self) -> None:
        """Close the store."""
        asyncio.run(self._store.aclose())

    def fork(self) -> int:
        """Leave a child that does nothing, for ever."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writer, b"born")
            signal.pause()
        # What it does with its copies at first is done when it says so.
        os.read(reader, 4)
        return pid

    def fork_poll(self, holder: str, ttl: str) -> list[object]:
        """Poll in a child, which then dies."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writer, json.dumps(self.poll(holder, ttl)).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        told: list[object] = json.loads(os.read(reader, 1000))
        return told

    def churn(self) -> int:
        """Leave a child that commits one document after the other, for ever."""
        pid = os.fork()
        if pid == 0:
            asyncio.run(self._churn())
        return pid

    async def _churn(self) -> None:
        known = 0
        for turn in count():
            request = LeaseRequest(f"{os.getpid()} {turn}", 60, "age")
            answer = await self._store.poll(KEY, known=known, lease=request)
            if isinstance(answer, Granted):
                payload = bytes([turn % 256]) * 100_000
                await self._store.commit(answer.lease, payload, ttl=1000, window=1)
            elif isinstance(answer, Newer):
                known = answer.version


def main() -> None:
    """Obey until the input ends."""
    worker = Worker(sys.argv[1])
    print(json.dumps("ready"), flush=True)  # noqa: T201 - the answer to the test
    for line in sys.stdin:
        name, *arguments = line.split()
        told = getattr(worker, name)(*arguments)
        print(json.dumps(told), flush=True)  # noqa: T201 - likewise


if __name__ == "__main__":
    main()
