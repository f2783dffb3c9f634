"""One event loop for all threads of a process. All work that waits on asyncio runs there.

anyio's `BlockingPortalProvider` has the same idea, but does not fit here, for four reasons. After a
fork the child hangs in it at exit. It is not safe if a signal handler runs during its start or
stop. It does not refuse greenlets. And this loop begins lazily, and counts its users per process.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context
from typing import Any, TypeVar

__all__ = [
    "NoLoopError", "Portal", "Work", "refuse_background_thread", "refuse_greenlets", "run_at_once",
]  # fmt: skip

T = TypeVar("T")

Work = Callable[[], Coroutine[Any, Any, T]]


class NoLoopError(Exception):
    """There is no background loop, and none could be started. The argument says why."""


def run_at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, in this thread, and return its result."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("the coroutine waits for an event loop")


def refuse_greenlets() -> None:
    """Raise `RuntimeError` where threads are greenlets: gevent, eventlet.

    asyncio would see the loop in one greenlet as running in all of them. asyncio and Django don't
    work then.
    """
    if threading.get_ident.__module__ != "_thread":
        raise RuntimeError(
            "SyncJWKS needs threads, not the greenlets of gevent or eventlet: use gthread workers "
            "with gunicorn, and the prefork or threads pool with Celery"
        )


class _Loop:
    """A running event loop in a daemon thread of its own.

    It is asyncio's own loop, whatever the policy: another one may not survive a fork.
    """

    def __init__(self, user: "Portal") -> None:
        refuse_greenlets()
        self.users = {user}
        self._pid = os.getpid()
        self._loop = _new_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="auth_jwks", daemon=True)

    @property
    def is_ours(self) -> bool:
        """Whether this process started it, not a parent: Python does not notice every fork."""
        return self._pid == os.getpid()

    def begin(self) -> None:
        """Start the thread. Raises `NoLoopError`."""
        try:
            self._thread.start()
        except RuntimeError:
            self._loop.close()
            raise NoLoopError("no thread can be started") from None

    def refuse_own_thread(self) -> None:
        """Raise `RuntimeError` in the loop's own thread, because it would wait for itself."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("this is the background thread: it would wait for itself")

    def start(self, work: Work[T]) -> Future[T]:
        """Start `work`, and return the future of its result."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop)

    def nudge(self, callback: Callable[[], object]) -> None:
        """Have the loop call `callback` soon."""
        self._loop.call_soon_threadsafe(callback)

    def end(self) -> None:
        """Wait until the running work and then the thread have ended."""
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Let the thread end once the running work has, if it was started at all."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    def _run(self) -> None:
        main = self._loop.create_task(self._run_until_stopped())
        while not main.done():
            # An observer may raise these; they must not end the loop.
            with suppress(KeyboardInterrupt, SystemExit):
                self._loop.run_until_complete(main)
        # No `asyncio.Runner`: it would wait for name resolution in a thread, which can't be
        # started any more when the interpreter exits.
        self._loop.close()

    async def _run_until_stopped(self) -> None:
        await self._stopping.wait()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        await self._loop.shutdown_asyncgens()


class _Process:
    """The state of this process: at most one loop, which is started when it is first needed."""

    def __init__(self) -> None:
        self.loop: _Loop | None = None
        self._inherited: list[_Loop] = []
        self.renew_lock()

    def renew_lock(self) -> None:
        """Create a new lock: in a forked child the old one may stay locked for ever.

        It is reentrant for signal handlers, which may run during any call and close a verifier.
        """
        self.lock = threading.RLock()

    def loop_for(self, user: "Portal") -> _Loop:
        """Return the loop, and start it if none runs here. Raises `NoLoopError`."""
        if self.loop is not None and not self.loop.is_ours:
            # Kept, not closed: the parent uses the same selector.
            self._inherited.append(self.loop)
            self.loop = None
        loop = self.loop or self._begin(user)
        loop.users.add(user)
        return loop

    def _begin(self, user: "Portal") -> _Loop:
        loop = _Loop(user)
        try:
            loop.begin()
            # At any moment a signal handler may start one too, or raise.
            self.loop = self.loop or loop
        except BaseException:
            self.loop = None if self.loop is loop else self.loop
            loop.stop()
            raise
        if self.loop is not loop:
            loop.stop()
        return self.loop

    def used_by(self, user: "Portal") -> _Loop | None:
        """Return the loop if `user` uses it. Raises `RuntimeError` in the loop's own thread."""
        loop = self.loop
        if loop is None or not loop.is_ours or user not in loop.users:
            return None
        loop.refuse_own_thread()
        return loop


_process = _Process()
with suppress(AttributeError):  # Windows has no fork
    os.register_at_fork(after_in_child=_process.renew_lock)


def refuse_background_thread() -> None:
    """Raise `RuntimeError` in the background thread, as it would wait for itself."""
    loop = _process.loop
    if loop is not None:
        loop.refuse_own_thread()


class Portal:
    """One user's access to the loop of the process. The loop ends when its last user closes.

    Raises `RuntimeError` where threads are greenlets.
    """

    def __init__(self) -> None:
        refuse_greenlets()
        self._closed = False

    def run(self, work: Work[T], seconds: float | None = None) -> T:
        """Run `work` on the loop while this thread waits, and return its result.

        An exception that ends this thread's wait does not stop the work, but `TimeoutError` after
        `seconds` does. Raises `NoLoopError`, and `RuntimeError` in the loop's own thread, or after
        `close` until `reopen`.
        """
        with _process.lock:
            loop = self._loop_in_use()
            loop.refuse_own_thread()
            future = loop.start(work)
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise
        finally:
            del future  # it holds the exception, whose traceback holds this frame

    def nudge(self, callback: Callable[[], object]) -> None:
        """Have the loop call `callback` soon. This thread does not wait. Raises as `run` does."""
        with _process.lock:
            self._loop_in_use().nudge(callback)

    def close(self, work: Work[object]) -> None:
        """Run `work` if anything was run before, and leave the loop. A second call does nothing."""
        loop = None
        try:
            with _process.lock:
                loop = None if self._closed else _process.used_by(self)
                self._closed = True
                last = None if loop is None else loop.start(work)
            if last is not None:
                last.result()
        finally:  # a signal handler may have raised
            if loop is not None:
                self._leave(loop)

    def reopen(self) -> None:
        """Let the portal be used again after `close`."""
        with _process.lock:
            self._closed = False

    def _loop_in_use(self) -> _Loop:
        self._refuse_if_closed()
        loop = _process.loop_for(self)
        if self._closed:  # meanwhile, by a signal handler
            self._leave(loop)
        self._refuse_if_closed()
        return loop

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("the verifier is closed")

    def _leave(self, loop: _Loop) -> None:
        with _process.lock:
            loop.users.discard(self)
            if loop.users:
                return
            _process.loop = None
        loop.end()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        # The loop keeps the context it is created in, which must not be that of a request.
        return Context().run(asyncio.SelectorEventLoop)
    except OSError as fault:
        reason = type(fault).__name__
    raise NoLoopError(f"no event loop can be created: {reason}")
