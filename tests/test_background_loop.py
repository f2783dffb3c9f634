"""The background loop: where work runs, when its thread begins and ends, what can't stop it."""

import asyncio
import contextvars
import gc
import re
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import pytest

from auth_jwks._background_loop import NoLoopError, Portal, run_at_once
from tests.sync.threads import let_end, threads

SCRIPT = """
import os, sys, threading
from auth_jwks._background_loop import NoLoopError, Portal

async def pid():
    return os.getpid()
"""
NO_FILES = """
import resource
portal = Portal()
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) - 1, limits[1]))
try:
    portal.run(pid)
except NoLoopError as fault:
    print(fault)
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
assert portal.run(pid) == os.getpid()
"""
# What patches threads does so in place, before or after a verifier was made.
GREENLETS = """
before = Portal()
get_ident = threading.get_ident
threading.get_ident = lambda: get_ident()
for attempt in (Portal, lambda: before.run(pid)):
    try:
        attempt()
    except RuntimeError as fault:
        print(fault)
"""
# As C programs fork that embed Python, such as uWSGI: no hook of os.register_at_fork runs.
UNTOLD_FORK = """
import ctypes
portal = Portal()
assert portal.run(pid) == os.getpid()
child = ctypes.PyDLL(None).fork()
assert portal.run(pid) == os.getpid()
portal.close(pid)
if child:
    assert os.waitpid(child, 0)[1] == 0
    print("both")
else:
    os._exit(0)
"""
# A signal's handler raises at any moment in the main thread; here, in turn, before each line of
# ours, and before `Thread.start` waits for what it has begun.
INTERRUPTED = """
from linecache import getline

class Stop(BaseException): pass

def raising(number):
    def trace(frame, event, _):
        nonlocal number
        file = frame.f_code.co_filename
        begun = frame.f_code.co_name == "start" and "_started" in getline(file, frame.f_lineno)
        if event == "line" and (file.endswith("_background_loop.py") or begun):
            number -= 1
            if number < 0:
                raise Stop
        return trace
    return trace

def left():
    return [one for one in threading.enumerate() if one.name == "auth_jwks"]

number, run_at_once = 0, False
while not run_at_once:
    portal = Portal()
    sys.settrace(raising(number))
    try:
        portal.run(pid)
        run_at_once = True
    except Stop:
        number += 1
    finally:
        sys.settrace(None)
    portal.close(pid)
    for thread in left():
        # The system may take its time to run a thread that the interpreter has begun.
        thread._started.wait(60)
        thread.join(60)
    if left():
        print("left by an interruption before line", number)
        break
print("the last was before line", number)
"""


class Stop(Exception):  # noqa: N818 - a signal handler's way to say so
    """What a signal handler raises."""


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    """Check that no thread is left; one that nobody waits for may still be ending."""
    let_end()
    yield
    let_end()


@pytest.fixture
def portal() -> Iterator[Portal]:
    """Return a portal, closed after the test."""
    portal = Portal()
    yield portal
    portal.close(nothing)


@pytest.fixture
def stop() -> Iterator[Callable[[], None]]:
    """Return what any thread may call to have the main thread raise `Stop`."""

    def handle(_signal: int, _frame: FrameType | None) -> None:
        raise Stop

    before = signal.signal(signal.SIGALRM, handle)
    main = threading.main_thread().ident
    assert main is not None
    yield lambda: signal.pthread_kill(main, signal.SIGALRM)
    signal.signal(signal.SIGALRM, before)


async def nothing() -> None:
    """Do nothing."""


async def where() -> str:
    """Return the name of the thread it runs in."""
    await asyncio.sleep(0)
    return threading.current_thread().name


async def fail() -> None:
    """Raise."""
    raise Stop


def run_script(text: str) -> str:
    """Run a program with the names above, and return what it prints."""
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT + text]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_finished_needs_no_loop() -> None:
    """It returns what the coroutine returns, and raises what it raises."""

    async def seven() -> int:
        await nothing()
        return 7

    assert run_at_once(seven()) == 7
    with pytest.raises(Stop):
        run_at_once(fail())


def test_finished_refuses_to_wait() -> None:
    """A coroutine that would have to wait is closed, and an error."""
    ended = []

    async def wait() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            ended.append(1)

    with pytest.raises(RuntimeError, match="waits for an event loop"):
        run_at_once(wait())
    assert ended


def test_work_runs_in_one_thread_for_all(portal: Portal) -> None:
    """It begins with the first work, serves any portal, and ends with the last of its users."""
    other, unused = Portal(), Portal()
    assert threads() == 0
    assert portal.run(where) == other.run(where) == "auth_jwks"
    assert threads() == 1
    other.close(nothing)
    unused.close(nothing)
    assert threads() == 1
    portal.close(nothing)
    assert threads() == 0
    again = Portal()
    assert again.run(where) == "auth_jwks"
    again.close(nothing)


def test_what_work_raises_is_raised(portal: Portal) -> None:
    """And gone when it was handled: nothing holds it but who caught it."""
    gc.disable()
    try:
        with pytest.raises(Stop) as caught:
            portal.run(fail)
        fault = weakref.ref(caught.value)
        del caught
        deadline = time.monotonic() + 60
        while fault() is not None and time.monotonic() < deadline:
            time.sleep(0.001)  # the task that raised it is dropped by the other thread
        assert fault() is None
    finally:
        gc.enable()


def test_a_nudge_does_not_wait(portal: Portal) -> None:
    """It is carried out in the background, also while that is busy."""
    goes_on, called = threading.Event(), threading.Event()
    portal.nudge(goes_on.wait)
    portal.nudge(called.set)
    assert not called.is_set()
    goes_on.set()
    assert called.wait(60)


def test_a_wait_may_have_an_end(portal: Portal) -> None:
    """Then the work is cancelled, and the loop goes on."""
    cancelled = threading.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        portal.run(endless, 0.01)
    assert cancelled.wait(60)
    assert portal.run(where, 5) == portal.run(where)


def test_a_closed_portal_refuses(portal: Portal) -> None:
    """A second close does nothing."""
    assert portal.run(where)
    for each in (portal, Portal()):
        each.close(nothing)
        each.close(fail)
        with pytest.raises(RuntimeError, match="closed"):
            each.run(where)
        with pytest.raises(RuntimeError, match="closed"):
            each.nudge(threading.Event().set)


def test_a_closed_portal_may_be_opened_again(portal: Portal) -> None:
    """It begins a loop anew; to open an open one changes nothing."""
    for _ in range(2):
        assert portal.run(where)
        portal.close(nothing)
        for _ in range(2):
            portal.reopen()
    assert portal.run(where)


def test_many_close_at_once() -> None:
    """Portals that are opened and closed in many threads leave one thread at most, then none."""

    def use(_number: int) -> str:
        portal = Portal()
        try:
            return portal.run(where)
        finally:
            portal.close(nothing)

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(use, range(200))) == {"auth_jwks"}


def test_the_thread_does_not_wait_for_itself(portal: Portal) -> None:
    """Work that calls back is refused, and nothing is blocked or closed by that."""
    faults: list[str] = []

    async def inside() -> None:
        for attempt in (lambda: portal.run(where), lambda: portal.close(nothing)):
            with pytest.raises(RuntimeError, match="wait for itself"):
                attempt()
            faults.append("refused")

    portal.run(inside)
    assert faults == ["refused"] * 2
    assert portal.run(where) == "auth_jwks"


@pytest.mark.posix
def test_a_signal_ends_a_wait_and_nothing_else(portal: Portal, stop: Callable[[], None]) -> None:
    """What a thread waited for goes on for others."""
    goes_on, ended = threading.Event(), threading.Event()

    async def work() -> None:
        stop()
        await asyncio.to_thread(goes_on.wait)
        ended.set()

    with pytest.raises(Stop):
        portal.run(work)
    goes_on.set()
    assert ended.wait(60)


@pytest.mark.posix
def test_a_signal_amid_close(stop: Callable[[], None]) -> None:
    """The thread ends nevertheless."""
    portal, goes_on = Portal(), threading.Event()

    async def slowly() -> None:
        stop()
        await asyncio.sleep(0.02)
        goes_on.set()

    portal.run(where)
    with pytest.raises(Stop):
        portal.close(slowly)
    assert goes_on.is_set(), "what is under way ends first"


def test_a_signal_at_any_moment_leaves_no_thread() -> None:
    """Not even while the thread begins."""
    told = run_script(INTERRUPTED)
    assert re.fullmatch(r"the last was before line \d\d\n", told), told


def test_a_signal_handler_may_close() -> None:
    """Amid any call of the thread it interrupts, which holds the lock."""
    portal, other = Portal(), Portal()
    other.run(where)
    closed: list[int] = []

    def handle(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_name == "start" and not closed:
            closed.append(1)
            other.close(nothing)

    def interrupted() -> None:
        sys.setprofile(handle)
        portal.run(where)
        sys.setprofile(None)
        portal.close(nothing)

    thread = threading.Thread(target=interrupted, daemon=True)
    thread.start()
    thread.join(60)
    assert closed
    assert not thread.is_alive(), "a dead-lock"


def test_a_signal_handler_may_begin_a_loop() -> None:
    """Amid the beginning of another: one of them is given up, and all end with their users."""
    portal, other = Portal(), Portal()
    names: list[str] = []

    def handle(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_name == "begin" and not names:
            names.append("")
            names.append(other.run(where))

    def interrupted() -> None:
        sys.setprofile(handle)
        names.append(portal.run(where))
        sys.setprofile(None)

    thread = threading.Thread(target=interrupted, daemon=True)
    thread.start()
    thread.join(60)
    assert names == ["", "auth_jwks", "auth_jwks"]
    portal.close(nothing)
    assert other.run(where) == "auth_jwks"
    other.close(nothing)


def test_a_signal_handler_may_close_what_begins(portal: Portal) -> None:
    """Then the call that it interrupted is told so."""
    faults: list[str] = []

    def handle(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_name == "begin":
            portal.close(nothing)

    def interrupted() -> None:
        sys.setprofile(handle)
        with pytest.raises(RuntimeError, match="closed") as caught:
            portal.run(where)
        sys.setprofile(None)
        faults.append(str(caught.value))

    thread = threading.Thread(target=interrupted, daemon=True)
    thread.start()
    thread.join(60)
    assert faults == ["the verifier is closed"]


@pytest.mark.posix
def test_no_thread_is_left() -> None:
    """A process at its limit is told so, and may try again."""
    portal = Portal()
    before = threading.stack_size(1 << 46)
    try:
        with pytest.raises(NoLoopError, match="no thread"):
            portal.run(where)
    finally:
        threading.stack_size(before)
    assert portal.run(where) == "auth_jwks"
    portal.close(nothing)


@pytest.mark.posix
def test_no_file_is_left() -> None:
    """Neither does that keep a lock."""
    assert run_script(NO_FILES) == "no event loop can be created: OSError\n"


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit])
def test_work_that_exits_ends_nothing(portal: Portal, leaving: type[BaseException]) -> None:
    """It is raised where the work was asked for; others wait on."""
    goes_on = threading.Event()

    async def leave() -> None:
        raise leaving

    async def wait() -> str:
        await asyncio.to_thread(goes_on.wait)
        return await where()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(portal.run, wait)
        with pytest.raises(leaving):
            portal.run(leave)
        goes_on.set()
        assert waiting.result(5) == "auth_jwks"


def test_the_loop_is_none_of_a_policy(portal: Portal) -> None:
    """One that the program prefers may not survive a fork."""

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            raise AssertionError

    asyncio.set_event_loop_policy(Policy())
    try:
        assert portal.run(where) == "auth_jwks"
    finally:
        asyncio.set_event_loop_policy(None)


def test_the_loop_keeps_no_context(portal: Portal) -> None:
    """What the first caller's request holds is not held for ever."""

    class Request:
        pass

    def serve() -> "weakref.ref[Request]":
        variable: contextvars.ContextVar[Request] = contextvars.ContextVar("request")
        request = Request()
        variable.set(request)
        portal.run(where)
        return weakref.ref(request)

    request = contextvars.Context().run(serve)
    portal.run(where)
    gc.collect()
    assert request() is None


def test_greenlets_are_refused() -> None:
    """At construction, and where they came later at the first use."""
    told = run_script(GREENLETS)
    assert told.count("SyncJWKS needs threads") == 2
    assert told.count("gthread") == told.count("Celery") == 2


@pytest.mark.posix
def test_a_fork_of_which_python_is_not_told() -> None:
    """The child makes a loop of its own, and the parent's goes on."""
    assert run_script(UNTOLD_FORK) == "both\n"
