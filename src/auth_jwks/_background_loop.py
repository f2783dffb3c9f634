"""One event loop for all threads of a process: what has to wait on asyncio runs there."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context
from typing import Any, TypeVar

__all__ = ["NoLoopError", "Portal", "Work", "run_at_once"]

T = TypeVar("T")

Work = Callable[[], Coroutine[Any, Any, T]]


class NoLoopError(Exception):
    """There is no background loop, and none could be begun; the argument says why."""


def run_at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, here and now, and return what it returns."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("the coroutine waits for an event loop")


class _Loop:
    """A running event loop, in a thread of its own that dies with the process.

    It is asyncio's own, whatever the policy: another one may not survive a fork.
    """

    def __init__(self, user: "Portal") -> None:
        _refuse_greenlets()
        self.users = {user}
        self._pid = os.getpid()
        self._loop = _new_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="auth_jwks", daemon=True)

    @property
    def is_ours(self) -> bool:
        """Whether it is this process's, not a parent's: not every fork tells Python of itself."""
        return self._pid == os.getpid()

    def begin(self) -> None:
        """Start the thread. Raises `NoLoopError`."""
        try:
            self._thread.start()
        except RuntimeError:
            self._loop.close()
            raise NoLoopError("no thread can be started") from None

    def refuse_itself(self) -> None:
        """Raise `RuntimeError` in the loop's own thread, which would wait for itself."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("this is the background thread: it would wait for itself")

    def start(self, work: Work[T]) -> Future[T]:
        """Begin some work, and return where its result will be."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop)

    def nudge(self, callback: Callable[[], object]) -> None:
        """Have the loop call that soon."""
        self._loop.call_soon_threadsafe(callback)

    def end(self) -> None:
        """Let what is under way end, and then the thread."""
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Let the thread end, if it began at all."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._over.set)

    def _work(self) -> None:
        serving = self._loop.create_task(self._serve())
        while not serving.done():
            with suppress(KeyboardInterrupt, SystemExit):  # of an observer: none of ours
                self._loop.run_until_complete(serving)
        # Not by a Runner: it would wait for a name to be resolved, by a thread that it can't
        # start any more when the interpreter exits.
        self._loop.close()

    async def _serve(self) -> None:
        await self._over.wait()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        await self._loop.shutdown_asyncgens()


class _Process:
    """What belongs to this process: at most one loop, which begins when it is first needed."""

    def __init__(self) -> None:
        self.loop: _Loop | None = None
        self._left_behind: list[_Loop] = []
        self.renew_lock()

    def renew_lock(self) -> None:
        """Make a new one, for a child in which the old one may be held for ever.

        Reentrant, for signal handlers: they run amid any call, and may close a verifier.
        """
        self.lock = threading.RLock()

    def begun(self, user: "Portal") -> _Loop:
        """Return the loop; begin it if none runs here. Raises `NoLoopError`."""
        if self.loop is not None and not self.loop.is_ours:
            # Kept, not closed: its selector is the parent's as well.
            self._left_behind.append(self.loop)
            self.loop = None
        loop = self.loop or self._begin(user)
        loop.users.add(user)
        return loop

    def _begin(self, user: "Portal") -> _Loop:
        loop = _Loop(user)
        try:
            loop.begin()
            # At any moment a signal's handler may have begun one, too, or raise.
            self.loop = self.loop or loop
        except BaseException:
            self.loop = None if self.loop is loop else self.loop
            loop.stop()
            raise
        if self.loop is not loop:
            loop.stop()
        return self.loop

    def used_by(self, user: "Portal") -> _Loop | None:
        """Return the loop if it is in use by that one. Raises `RuntimeError` in its own thread."""
        loop = self.loop
        if loop is None or not loop.is_ours or user not in loop.users:
            return None
        loop.refuse_itself()
        return loop


_process = _Process()
with suppress(AttributeError):  # Windows knows no fork
    os.register_at_fork(after_in_child=_process.renew_lock)


class Portal:
    """One user's way to the loop of the process, which ends when the last of them closes.

    Raises `RuntimeError` where threads are greenlets.
    """

    def __init__(self) -> None:
        _refuse_greenlets()
        self._closed = False

    def run(self, work: Work[T]) -> T:
        """Run `work` on the loop while this thread waits, and return what it returns.

        A thread that stops waiting, by an exception of its own, stops nothing there. Raises
        `NoLoopError`, and `RuntimeError` after `close` or in the loop's own thread.
        """
        with _process.lock:
            loop = self._entered()
            loop.refuse_itself()
            future = loop.start(work)
        try:
            return future.result()
        finally:
            del future  # it holds what was raised, whose traceback holds this frame

    def nudge(self, callback: Callable[[], object]) -> None:
        """Have the loop call that soon; this thread does not wait. Raises as `run` does."""
        with _process.lock:
            self._entered().nudge(callback)

    def close(self, work: Work[object]) -> None:
        """Run `work` if anything was run before, and leave; a second call does nothing."""
        loop = None
        try:
            with _process.lock:
                loop = None if self._closed else _process.used_by(self)
                self._closed = True
                last = None if loop is None else loop.start(work)
            if last is not None:
                last.result()
        finally:  # a signal's handler may have raised
            if loop is not None:
                self._leave(loop)

    def _entered(self) -> _Loop:
        self._refuse_if_closed()
        loop = _process.begun(self)
        if self._closed:  # meanwhile, by a signal's handler
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
        # It keeps the context that it is made in: not that of a request.
        return Context().run(asyncio.SelectorEventLoop)
    except OSError as fault:
        reason = type(fault).__name__
    raise NoLoopError(f"no event loop can be created: {reason}")


def _refuse_greenlets() -> None:
    """Raise `RuntimeError` where greenlets pass for threads: gevent, eventlet.

    A loop in one of them would be the running one of all: asyncio and Django refuse to work then.
    """
    if threading.get_ident.__module__ != "_thread":
        raise RuntimeError("SyncJWKS needs threads, not greenlets; use gunicorn's gthread worker")
