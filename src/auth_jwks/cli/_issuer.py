"""`auth-jwks issuer`: a fake provider as a process, until it is stopped."""

import contextlib
import signal
import threading
from argparse import Namespace
from collections.abc import Iterator

from auth_jwks._settings import checked_url
from auth_jwks.cli._console import Console
from auth_jwks.cli._control import CONTROL, ControlledIssuer
from auth_jwks.cli._faults import GOOD, UsageError
from auth_jwks.cli._verifier import in_options
from auth_jwks.testing.keys import SigningKey

__all__ = ["issuer"]

# A signal that comes just before a wait does not end it. So no wait is for ever.
POLL = 0.25


def issuer(arguments: Namespace, console: Console) -> int:
    """Run the provider until SIGTERM or an interruption."""
    name = in_options(lambda: checked_url("issuer", arguments.issuer))
    keys = [in_options(lambda: SigningKey.generate(arguments.alg))]
    provider = ControlledIssuer(
        issuer=name, keys=keys, host=arguments.host, port=arguments.port,
        headers={"Access-Control-Allow-Origin": "*"},
    )  # fmt: skip
    if name is not None:
        provider.announce(jwks_uri=f"{name.rstrip('/')}/jwks")
    with _stopped_by_sigterm() as stopped:
        try:
            provider.__enter__()
        except OSError as fault:
            reason = fault.strerror or type(fault).__name__
            raise UsageError(f"--host, --port: can't be listened at: {reason}") from None
        with contextlib.closing(provider):
            _tell(console, provider)
            while not stopped.wait(POLL):
                pass
    return GOOD


def _tell(console: Console, provider: ControlledIssuer) -> None:
    if console.as_json:
        console.put_json(
            {"issuer": provider.issuer, "url": provider.url, "control": provider.url + CONTROL}
        )
    else:
        console.put(provider.issuer)
        console.say(f"A fake provider at {provider.url}: its keys protect nothing.")
        console.say(f"A token: curl -X POST '{provider.url}{CONTROL}token?sub=alice&aud=my-api'")
    console.stdout.flush()


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[threading.Event]:
    """Yield what SIGTERM sets. Only the main thread can hear signals."""
    stopped = threading.Event()
    hears = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda *_: stopped.set()) if hears else None
    try:
        yield stopped
    finally:
        if hears:
            signal.signal(signal.SIGTERM, before)
