"""A provider's answers as an httpx transport, without a socket."""

import asyncio
from collections.abc import AsyncIterator

import httpx

from auth_jwks._clock import Clock
from auth_jwks.testing._answer import Answer, Receive

__all__ = ["IssuerTransport"]


class IssuerTransport(httpx.AsyncBaseTransport):
    """Answers by path, for any host. Delays are waited for on the injected clock."""

    def __init__(self, receive: Receive, clock: Clock) -> None:
        self._receive = receive
        self._clock = clock

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        target = request.url.raw_path.decode("ascii")
        answer, gate = self._receive(request.method, target, dict(request.headers))
        dropped = gate is not None and not await asyncio.wrap_future(gate)
        if answer.delay:
            await self._clock.sleep(answer.delay)
        if dropped or answer.refused:
            message = "the provider dropped the connection"
            raise httpx.ConnectError(message, request=request)
        return httpx.Response(
            answer.status, headers=answer.head, stream=_Body(answer, self._clock), request=request
        )


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: Answer, clock: Clock) -> None:
        self._answer = answer
        self._clock = clock

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._answer.pieces:
            if self._answer.seconds_per_byte:
                await self._clock.sleep(self._answer.seconds_per_byte)
            yield piece
        if self._answer.truncated:
            message = "the provider dropped the connection within the body"
            raise httpx.RemoteProtocolError(message)
