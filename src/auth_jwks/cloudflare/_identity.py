"""The profile that Cloudflare keeps of a user, too large for a token."""

from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from typing import Any, get_args, get_origin

import jwt

from auth_jwks._clock import Clock, within
from auth_jwks._jose.strict_json import strict_object
from auth_jwks._provider.client import HTTP, FetchError, HTTPClient
from auth_jwks.errors import IdentityUnavailableError

__all__ = ["Identity", "IdentitySource"]

# Of a verified token these say that Cloudflare knows its session no more.
NO_SESSION = frozenset((400, 401, 403))


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """What Cloudflare knows of a user; None for what it does not say, or says in another type.

    `iat` is Unix time; `device_sessions` and `device_posture` are by id.
    """

    email: str | None = None
    user_uuid: str | None = None
    account_id: str | None = None
    iat: int | None = None
    ip: str | None = None
    auth_status: str | None = None
    common_name: str | None = None
    service_token_id: str | None = None
    service_token_status: bool | None = None
    is_warp: bool | None = None
    is_gateway: bool | None = None
    gateway_account_id: str | None = None
    device_id: str | None = None
    version: int | None = None
    device_sessions: dict[str, Any] | None = None
    idp: dict[str, Any] | None = None
    geo: dict[str, Any] | None = None
    device_posture: dict[str, Any] | None = None

    def __repr__(self) -> str:
        # The rest is personal, and a log is no place for it.
        return f"Identity(user_uuid={self.user_uuid!r})"


# The members that may hold a field, where they are not called like it; the first one wins.
MEMBERS = {"common_name": ("cn", "common_name"), "device_posture": ("devicePosture",)}


class IdentitySource:
    """Where one team's profiles come from: one URL, asked once, within `timeout` seconds."""

    def __init__(
        self, url: str, *, timeout: float, http_client: HTTPClient | None, clock: Clock
    ) -> None:
        self.url = url
        self._timeout = timeout
        self._clock = clock
        self._http = HTTP(http_client, timeout=timeout, clock=clock)

    async def identity(self, token: str) -> Identity:
        """Return the profile that belongs to a verified token, which is fit for a header as such.

        Raises `IdentityUnavailableError`, and `jwt.InvalidTokenError` if its session has ended.
        """
        status, wait = None, None
        try:
            told = _profile(await within(self._clock, self._timeout, self._ask(token)))
            reason = "the answer is not a profile"
        except TimeoutError:
            told, reason = None, f"no answer within {self._timeout:g} s"
        except FetchError as fault:
            told, reason, status, wait = None, fault.reason, fault.status, fault.retry_after
        # Raised here, outside the handlers, so that nothing of the request is in their context.
        if status in NO_SESSION:
            raise jwt.InvalidTokenError("Cloudflare has ended the session of this token")
        if told is None:
            message = f"the identity is unavailable: {reason}"
            stated = {} if wait is None else {"retry_after": wait}
            raise IdentityUnavailableError(message, **stated)
        return Identity(**{field.name: _value(field, told) for field in fields(Identity)})

    async def _ask(self, token: str) -> bytes:
        headers = {"accept": "application/json", "cookie": f"CF_Authorization={token}"}
        async with self._http.client() as client:
            return (await self._http.get(client, self.url, headers)).body


def _profile(body: bytes) -> Mapping[str, Any] | None:
    """Return the members of a JSON object that says anything of a user."""
    told = strict_object(body) or {}
    return (
        told
        if any(name in told for field in fields(Identity) for name in _members(field))
        else None
    )


def _members(field: Field[Any]) -> tuple[str, ...]:
    return MEMBERS.get(field.name, (field.name,))


def _value(field: Field[Any], told: Mapping[str, Any]) -> Any:
    """Return the member for a field, if it is of the type which that declares."""
    value = next((told[name] for name in _members(field) if name in told), None)
    declared, _ = get_args(field.type)
    # Exactly that type: to Python a bool is an int as well.
    return value if type(value) is (get_origin(declared) or declared) else None
