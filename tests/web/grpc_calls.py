"""Serves a recipe for gRPC in this process, calls it, and prints what came: `grpc_calls.py FOLDER`.

It is a process of its own, as gRPC's threads stay. A line of JSON on stdin is `[method, metadata]`,
one on stdout the answer: `[code, details, trailing metadata, messages]`.
"""

import asyncio
import inspect
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc

KINDS = {
    "/shop.Shop/Me": "unary_unary",
    "/shop.Shop/Remove": "unary_unary",
    "/shop.Shop/Feed": "unary_stream",
    "/shop.Shop/Upload": "stream_unary",
    "/shop.Shop/Chat": "stream_stream",
    "/shop.Shop/Unlisted": "unary_unary",
    "/grpc.health.v1.Health/Check": "unary_unary",
}
PATIENCE = 60  # seconds


class Threaded:
    """What methods do in a thread: they tell who calls."""

    def __init__(self, auth: Any) -> None:
        self._claims = auth.claims

    def unary(self, _request: object, _context: object) -> bytes:
        """Return the caller."""
        return str(self._claims.get()["sub"]).encode()

    def stream(self, request: object, context: object) -> Iterator[bytes]:
        """Yield the caller twice."""
        for _ in range(2):
            yield self.unary(request, context)

    def public(self, _request: object, _context: object) -> bytes:
        """Return that anybody was let in, of whom nothing is known."""
        return str(self._claims.get("nobody")).encode()


class Async(Threaded):
    """What methods do on an event loop."""

    async def unary(self, request: object, context: object) -> bytes:  # type: ignore[override]
        """Return the caller."""
        return super().unary(request, context)

    async def stream(  # type: ignore[override]
        self, request: object, context: object
    ) -> AsyncIterator[bytes]:
        """Yield the caller twice."""
        for _ in range(2):
            yield super().unary(request, context)

    async def public(self, request: object, context: object) -> bytes:  # type: ignore[override]
        """Return that anybody was let in, of whom nothing is known."""
        return super().public(request, context)


def handlers(auth: Any) -> Iterator[grpc.GenericRpcHandler]:
    """Return services with methods of all kinds."""
    is_async = issubclass(auth.BearerAuth, grpc.aio.ServerInterceptor)
    behaviours = Async(auth) if is_async else Threaded(auth)
    for method, kind in KINDS.items():
        _, service, name = method.split("/")
        what = "public" if name == "Check" else kind.partition("_")[2]
        handler = getattr(grpc, f"{kind}_rpc_method_handler")(getattr(behaviours, what))
        if name != "Unlisted":
            yield grpc.method_handlers_generic_handler(service, {name: handler})


class Services:
    """All services as one."""

    def __init__(self, auth: Any) -> None:
        self._all = list(handlers(auth))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of a method."""
        found = (each.service(handler_call_details) for each in self._all)
        return next(filter(None, found), None)


def answer(channel: grpc.Channel, method: str, metadata: list[list[str]]) -> list[Any]:
    """Call a method; one that takes a stream is sent nothing until it has answered."""
    sends, returns = KINDS[method].split("_")
    call = getattr(channel, KINDS[method])(method)
    done = threading.Event()

    def silence() -> Iterator[bytes]:
        done.wait(PATIENCE)
        yield from ()

    request = silence() if sends == "stream" else b""
    options = {"metadata": [tuple(each) for each in metadata], "timeout": PATIENCE}
    try:
        if returns == "stream":
            messages = list(call(request, wait_for_ready=True, **options))
        else:
            messages = [call(request, wait_for_ready=True, **options)]
    except grpc.RpcError as error:
        told = dict(error.trailing_metadata() or ())
        return [error.code().name, error.details(), told, []]
    finally:
        done.set()
    return ["OK", "", {}, [message.decode() for message in messages]]


def main(folder: str) -> None:
    """Serve, and answer until stdin ends."""
    sys.path.insert(0, folder)
    auth, serve = import_module("shop.auth"), import_module("shop.serve").serve

    address = f"unix:{Path(folder) / 'socket'}"

    def run() -> None:
        result = serve(Services(auth), address)
        if inspect.iscoroutine(result):
            asyncio.run(result)

    threading.Thread(target=run, daemon=True).start()
    with grpc.insecure_channel(address) as channel:
        for line in sys.stdin:
            sys.stdout.write(json.dumps(answer(channel, *json.loads(line))) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
