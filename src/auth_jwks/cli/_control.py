"""The fake provider of `auth-jwks issuer`: `FakeIssuer`, controlled by POST requests."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from auth_jwks.testing._answer import Answer
from auth_jwks.testing.issuer import FakeIssuer

__all__ = ["CONTROL", "ControlledIssuer"]

CONTROL = "/control/"
FAULTS = ("outage", "redirect", "refuse", "hang", "slow", "drip", "truncate", "junk")
OTHERS = (
    "token",
    "forge",
    "rotate",
    "withdraw",
    "announce",
    "cache",
    "recover",
    "release",
    "state",
)


class ControlledIssuer(FakeIssuer):
    """`FakeIssuer`, and beneath `/control/` what changes it and makes its tokens.

    The parameters of a request are in its query, each as JSON, or as a string if it is none.
    """

    def _receive(
        self, method: str, target: str, headers: Mapping[str, str]
    ) -> tuple[Answer, Future[bool] | None]:
        path, _, query = target.partition("?")
        if not path.startswith(CONTROL):
            return super()._receive(method, target, headers)
        if method != "POST":
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "POST"}), None
        return _answered(lambda: self._act(path.removeprefix(CONTROL), _parameters(query))), None

    def _act(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        match name:
            case "token":
                return {"access_token": self.sign(given)}
            case "forge":
                return {"access_token": self.forge(given)}
            case "rotate":
                self.rotate(**given)
            case "junk":
                self.junk(str(given.pop("body", "junk")).encode(), **given)
            case "state":
                pass
            case _ if name in FAULTS or name in OTHERS:
                getattr(self, name)(**given)
            case _:
                known = ", ".join(sorted({*FAULTS, *OTHERS}))
                raise ValueError(f"expected one of {known}")
        return self._state()

    def _state(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "kids": [key.kid for key in self.keys],
            "discovery_requests": self.discovery_requests,
            "jwks_requests": self.jwks_requests,
        }


def _answered(act: Callable[[], dict[str, Any]]) -> Answer:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    headers["Access-Control-Allow-Origin"] = "*"
    try:
        status, content = 200, act()
    except (TypeError, ValueError) as fault:
        status, content = 400, {"error": str(fault)}
    return Answer(status, headers, json.dumps(content).encode())


def _parameters(query: str) -> dict[str, Any]:
    return {name: _value(text) for name, text in parse_qsl(query, keep_blank_values=True)}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
