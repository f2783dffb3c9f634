"""The TLS context that our own clients share: one for each process."""

import asyncio
import os
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ["SharedTLS"]

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class SharedTLS:
    """A context that is made when it is first needed, and again if the environment has changed.

    It takes a megabyte, and 25 ms of CPU time: too much for each verifier.
    """

    def __init__(self, make: Callable[[], ssl.SSLContext]) -> None:
        self._make = make
        self._made: tuple[tuple[object, ...], ssl.SSLContext] | None = None
        # Held across forks: if another thread is inside OpenSSL, its locks would stay locked in
        # the child.
        self._lock = threading.Lock()
        with suppress(AttributeError):  # Windows has no fork
            os.register_at_fork(
                before=self._lock.acquire,
                after_in_parent=self._lock.release,
                after_in_child=self._lock.release,
            )

    def __repr__(self) -> str:
        return f"SharedTLS(made={self._made is not None})"

    async def context(self, meanwhile: Callable[[], object] = lambda: None) -> ssl.SSLContext:
        """Return the context. Raises what making it raises, and tries again at the next call.

        `meanwhile` is called while a thread makes it: OpenSSL leaves Python free.
        """
        made = self._made
        if made is not None and made[0] == _environment():
            return made[1]
        making = asyncio.get_running_loop().run_in_executor(None, self._locked_context)
        meanwhile()
        return await making

    def _locked_context(self) -> ssl.SSLContext:
        with self._lock:
            environment = _environment()
            if self._made is None or self._made[0] != environment:
                self._made = environment, self._make()
            return self._made[1]


def _environment() -> tuple[object, ...]:
    """Return what a context depends on. A child of a fork has its own: ours may be in use there."""
    return os.getpid(), *map(os.environ.get, VARIABLES)
