"""Serves a recipe for gRPC in this process, calls it, and prints what came: `grpc_calls.py FOLDER`.

It is a process of its own, as gRPC's threads stay. A line of JSON on stdin is `[method, metadata]`,
one on stdout the answer: `[code, details, trailing metadata, messages]`.
"""

import asyncio
import inspect
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
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


def handlers(auth: Any) -> Iterable[grpc.GenericRpcHandler]:
    """Return services of all kinds, which tell who calls."""
    is_async = issubclass(auth.BearerAuth, grpc.aio.ServerInterceptor)

    def who() -> bytes:
        return str(auth.claims.get()["sub"]).encode()

    def one(_request: object, _context: object) -> bytes:
        return who()

    def several(_request: object, _context: object) -> Iterator[bytes]:
        yield who()
        yield who()

    async def one_async(_request: object, _context: object) -> bytes:
        return who()

    async def several_async(_request: object, _context: object) -> AsyncIterator[bytes]:
        yield who()
        yield who()

    def served(_request: object, _context: object) -> bytes:
        return b"served"

    async def served_async(_request: object, _context: object) -> bytes:
        return b"served"

    for method, kind in KINDS.items():
        _, service, name = method.split("/")
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        if service != "shop.Shop":
            behaviour: Any = served_async if is_async else served
        elif kind.endswith("_stream"):
            behaviour = several_async if is_async else several
        else:
            behaviour = one_async if is_async else one
        if name != "Unlisted":
            yield grpc.method_handlers_generic_handler(service, {name: make(behaviour)})


class Services(grpc.GenericRpcHandler):
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
        told = {key: value for key, value in error.trailing_metadata() or ()}
        return [error.code().name, error.details(), told, []]
    finally:
        done.set()
    return ["OK", "", {}, [message.decode() for message in messages]]


def main(folder: str) -> None:
    """Serve, and answer until stdin ends."""
    sys.path.insert(0, folder)
    from shop import auth  # noqa: PLC0415 - the recipe
    from shop.serve import serve  # noqa: PLC0415

    address = f"unix:{Path(folder) / 'socket'}"

    def run() -> None:
        result = serve(Services(auth), address)
        if inspect.iscoroutine(result):
            asyncio.run(result)

    threading.Thread(target=run, daemon=True).start()
    with grpc.insecure_channel(address) as channel:
        for line in sys.stdin:
            print(json.dumps(answer(channel, *json.loads(line))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
