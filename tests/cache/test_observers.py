"""Several observers as one: each is told, and none harms another, or the work that it watches."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from auth_jwks._cache.observers import Observers, checked_observers
from auth_jwks.errors import Reason
from auth_jwks.events import Event, Operation, UnknownKey, VerificationResult
from auth_jwks.testing import FakeClock

SOURCE = "https://issuer.test/jwks"
EVENT = UnknownKey(SOURCE, asked=False)


class Diary:
    """An observer with every method, that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def __call__(self, event: Event, /) -> None:
        """Write down the event."""
        self.told.append(event)

    def counter(self, source: str, /) -> Callable[[VerificationResult], None]:
        """Return what writes down a result."""
        return lambda result: self.told.append((source, result))

    @contextmanager
    def during(self, operation: Operation, source: str, /) -> Iterator[None]:
        """Write down the beginning, what is raised, and the end."""
        self.told.append(("begins", operation, source))
        try:
            yield
        except BaseException as error:
            self.told.append(type(error))
            raise
        finally:
            self.told.append("ends")


class Broken:
    """An observer that fails at one place, and has nothing to tell at the others."""

    def __init__(self, place: str, fault: BaseException) -> None:
        self._place = place
        self._fault = fault

    def __call__(self, _event: Event, /) -> None:
        """Fail here, perhaps."""
        self._at("call")

    def counter(self, _source: str, /) -> Callable[[VerificationResult], None]:
        """Fail here, or at each count, perhaps."""
        self._at("counter")
        return lambda _result: self._at("count")

    def during(self, _operation: Operation, _source: str, /) -> AbstractContextManager[object]:
        """Fail here, at the beginning, or at the end, perhaps."""
        self._at("during")
        return self._context()

    @contextmanager
    def _context(self) -> Iterator[None]:
        self._at("enter")
        try:
            yield
        finally:
            self._at("exit")

    def _at(self, place: str) -> None:
        if place == self._place:
            raise self._fault


def watched(observers: Observers) -> None:
    """Tell the observers of everything once."""
    observers(EVENT)
    observers.count("seen")
    with observers.during("fetch"):
        pass


WHOLE_STORY = [EVENT, (SOURCE, "seen"), ("begins", "fetch", SOURCE), "ends"]


def test_each_is_told_everything(clock: FakeClock) -> None:
    """Events, counts and work, by the name of the source."""
    first, second = Diary(), Diary()
    watched(Observers((first, second), SOURCE, clock))
    assert first.told == second.told == WHOLE_STORY


def test_a_plain_function_is_told_of_events_alone(clock: FakeClock) -> None:
    """Counting and timing are asked of those that can."""
    events: list[Event] = []
    observers = Observers((events.append,), SOURCE, clock)
    watched(observers)
    assert (events, observers.is_counting) == ([EVENT], False)


def test_no_observer_is_no_work() -> None:
    """The same idle context each time, and nothing to count for."""
    observers = Observers()
    watched(observers)
    assert observers.during("poll") is observers.during("commit")
    assert (observers.is_counting, repr(observers)) == (False, "Observers(0)")


@pytest.mark.parametrize("place", ["call", "counter", "count", "during", "enter", "exit"])
@pytest.mark.parametrize("fault", [LookupError("secret"), asyncio.CancelledError("secret")])
def test_a_fault_harms_nobody(
    place: str, fault: BaseException, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it is raised, the others are told, before and after; it is one line of the log."""
    first, last = Diary(), Diary()
    watched(Observers((first, Broken(place, fault), last), SOURCE, clock))
    assert first.told == last.told == WHOLE_STORY
    [line] = caplog.messages
    assert line.startswith("the observer failed on ")
    assert "secret" not in line


@pytest.mark.parametrize("error", [LookupError(), asyncio.CancelledError(), KeyboardInterrupt()])
def test_what_work_raises_passes_through(error: BaseException, clock: FakeClock) -> None:
    """Each context sees it, and may not keep it, nor put another in its place."""
    diary = Diary()
    observers = Observers((diary, Broken("exit", ValueError()), Swallowing()), SOURCE, clock)
    with pytest.raises(type(error)) as raised, observers.during("refresh"):
        raise error
    assert raised.value is error
    assert diary.told == [("begins", "refresh", SOURCE), type(error), "ends"]


def test_what_is_counted_is_the_reason(clock: FakeClock) -> None:
    """A counter gets what it may use as a label."""
    diary = Diary()
    Observers((diary,), SOURCE, clock).count(Reason.EXPIRED)
    assert diary.told == [(SOURCE, "expired")]


@pytest.mark.parametrize(
    ("observer", "several"),
    [(None, ()), (print, (print,)), ([], ()), ([print], (print,)), ((print, repr), (print, repr))],
)
def test_one_or_several(observer: object, several: tuple[object, ...]) -> None:
    """A sequence may be empty, as where a setting adds an observer."""
    assert checked_observers(observer) == several


class Swallowing:
    """An observer whose context would swallow what is raised in it."""

    def __call__(self, event: Event, /) -> None:
        """Be told nothing."""

    def during(self, _operation: Operation, _source: str, /) -> "Swallowing":
        """Return itself."""
        return self

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, *_error: object) -> bool:
        return True
