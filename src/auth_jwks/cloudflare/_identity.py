"""The profile that Cloudflare keeps of a user. It is too large for a token."""

from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from typing import Any, get_args, get_origin

import jwt

from auth_jwks._clock import Clock, within
from auth_jwks._jose.strict_json import strict_object
from auth_jwks._provider.client import HTTP, FetchError, HTTPClient
from auth_jwks.errors import IdentityUnavailableError

__all__ = ["Identity", "IdentitySource"]

# For a verified token these statuses mean that Cloudflare has ended its session.
NO_SESSION = frozenset((400, 401, 403))


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """Cloudflare's profile of a user. A member that is missing or of another type is None.

    `iat` is Unix time in seconds. The keys of `device_sessions` and `device_posture` are ids.
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
        # The rest is personal data, which does not belong in a log.
        return f"Identity(user_uuid={self.user_uuid!r})"


# For fields named unlike their members: the possible members. The first one present wins.
MEMBERS = {"common_name": ("cn", "common_name"), "device_posture": ("devicePosture",)}


class IdentitySource:
    """The source of one team's profiles: one URL, with one attempt of `timeout` seconds."""

    def __init__(
        self, url: str, *, timeout: float, http_client: HTTPClient | None, clock: Clock
    ) -> None:
        self.url = url
        self._timeout = timeout
        self._clock = clock
        self._http = HTTP(http_client, timeout=timeout, clock=clock)

    async def identity(self, token: str) -> Identity:
        """Return the profile that belongs to a verified token, which is safe in a header.

        Raises `IdentityUnavailableError`, and `jwt.InvalidTokenError` if its session has ended.
        """
        status, wait = None, None
        try:
            profile = _profile(await within(self._clock, self._timeout, self._ask(token)))
            reason = "the answer is not a profile"
        except TimeoutError:
            profile, reason = None, f"no answer within {self._timeout:g} s"
        except FetchError as fault:
            profile, reason, status, wait = None, fault.reason, fault.status, fault.retry_after
        # Raised outside the handlers, so that no exception carries the request in its context.
        if status in NO_SESSION:
            raise jwt.InvalidTokenError("Cloudflare has ended the session of this token")
        if profile is None:
            message = f"the identity is unavailable: {reason}"
            stated = {} if wait is None else {"retry_after": wait}
            raise IdentityUnavailableError(message, **stated)
        return Identity(**{field.name: _value(field, profile) for field in fields(Identity)})

    async def _ask(self, token: str) -> bytes:
        headers = {"accept": "application/json", "cookie": f"CF_Authorization={token}"}
        async with self._http.client(self.url) as client:
            return (await self._http.get(client, self.url, headers)).body


def _profile(body: bytes) -> Mapping[str, Any] | None:
    """Return the JSON object if it has a member of a profile, else None."""
    profile = strict_object(body) or {}
    return (
        profile
        if any(name in profile for field in fields(Identity) for name in _members(field))
        else None
    )


def _members(field: Field[Any]) -> tuple[str, ...]:
    return MEMBERS.get(field.name, (field.name,))


def _value(field: Field[Any], profile: Mapping[str, Any]) -> Any:
    """Return the member for a field, or None if it isn't of the field's type."""
    value = next((profile[name] for name in _members(field) if name in profile), None)
    declared, _ = get_args(field.type)
    # Exactly that type: in Python a bool is an int too.
    return value if type(value) is (get_origin(declared) or declared) else None
