"""The playground as a web application: the endpoints of its page, and a protected API."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import jwt
from fastapi import APIRouter, FastAPI, Query, Request, Response, Security
from fastapi.staticfiles import StaticFiles
from starlette.middleware.trustedhost import TrustedHostMiddleware

from auth_jwks import JWKS, MemoryKeyStore
from auth_jwks.events import Observer
from auth_jwks.fastapi import JWTBearer
from auth_jwks.testing import FakeIssuer
from examples.demo import ForwardClock, verify_all
from examples.playground.provider import AUDIENCE, Fault, Provider
from examples.playground.worker import Journal, Worker, measured

__all__ = ["create_app"]

PAGE = Path(__file__).with_name("static")
MADE_UP = 1000
YEARS = 10**9  # thirty, in seconds
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Name = Literal["A", "B"]


class Playground:
    """One provider, two workers that share a key store, and the clock of all three."""

    def __init__(self, issuer: FakeIssuer, clock: ForwardClock) -> None:
        self.clock = clock
        self.provider = Provider(issuer, clock)
        self.journal = Journal(clock.time)
        self._store = MemoryKeyStore(timer=clock.monotonic)
        self.workers = {name: Worker(name, self._verifier, self.journal) for name in ("A", "B")}

    def view(self) -> dict[str, Any]:
        """Return everything the page shows, except the answers to its requests."""
        return {
            "now": self.clock.time(),
            "ahead": round(self.clock.time() - time.time()),
            "provider": self.provider.view(),
            "workers": [worker.view() for worker in self.workers.values()],
            "events": list(self.journal.entries),
        }

    async def start_over(self) -> None:
        """Bring all but the clock back to the start: a new key, an empty store, new workers."""
        self.provider.start_over()
        await self._store.aclose()
        self._store = MemoryKeyStore(timer=self.clock.monotonic)
        for worker in self.workers.values():
            await worker.restart()
        self.journal.entries.clear()

    async def flood(self, worker: Worker) -> dict[str, Any]:
        """Let a worker verify many tokens at once, each under a made-up `kid`."""
        issuer = self.provider.issuer
        tokens = [
            issuer.sign(aud=AUDIENCE, headers={"kid": f"made-up-{n}"}) for n in range(MADE_UP)
        ]
        asked, began = issuer.jwks_requests, time.perf_counter()
        outcome = await verify_all(worker.jwks, tokens)
        seconds = time.perf_counter() - began
        return {"outcome": outcome, "seconds": seconds, "asked": issuer.jwks_requests - asked}

    async def aclose(self) -> None:
        """Close the workers and their store."""
        for worker in self.workers.values():
            await worker.jwks.close()
        await self._store.aclose()

    def _verifier(self, observer: Observer) -> JWKS:
        issuer = self.provider.issuer
        return JWKS(
            issuer.discovery_url,
            AUDIENCE,
            issuer=issuer.issuer,
            timeout=1.0,  # so that a provider that hangs is worth watching
            store=self._store,
            observer=observer,
            clock=self.clock,
        )


def protected(worker: Worker) -> APIRouter:
    """Return the API of one worker. This is the part that your service would have."""
    bearer = JWTBearer(worker)
    router = APIRouter(prefix=f"/{worker.name}")

    @router.get("/documents")
    async def read(
        request: Request,
        claims: Annotated[dict[str, Any], Security(bearer, scopes=["documents:read"])],
    ) -> dict[str, Any]:
        return {"user": claims["sub"], "did": "read", "verified_by": key_of(request, worker)}

    @router.put("/documents")
    async def write(
        request: Request,
        claims: Annotated[dict[str, Any], Security(bearer, scopes=["documents:write"])],
    ) -> dict[str, Any]:
        return {"user": claims["sub"], "did": "write", "verified_by": key_of(request, worker)}

    return router


def key_of(request: Request, worker: Worker) -> dict[str, Any]:
    """Return which key verified the request's token, where it came from and how old it is."""
    token = request.headers["authorization"].split(" ")[-1]
    keys = worker.view()
    about = {"origin": keys["origin"], "age": round(keys["age"], 1), "fresh": keys["fresh"]}
    return {"worker": worker.name, "kid": jwt.get_unverified_header(token).get("kid"), **about}


def controls(playground: Playground) -> APIRouter:
    """Return the endpoints behind the page's buttons."""
    router = APIRouter(prefix="/api")
    provider, workers = playground.provider, playground.workers

    @router.get("/state")
    async def state() -> dict[str, Any]:
        return playground.view()

    @router.post("/sign-in")
    async def sign_in(request: Request, user: str, lifetime: int) -> dict[str, str]:
        scope = " ".join(request.query_params.getlist("scope"))
        return {"token": provider.sign_in(user, scope, lifetime)}

    @router.post("/rotate")
    async def rotate(*, keep: bool) -> dict[str, str]:
        return {"kid": provider.issuer.rotate(keep=keep).kid}

    @router.post("/provider")
    async def suffer(fault: Fault) -> None:
        provider.suffer(fault)

    @router.post("/clock")
    async def advance(seconds: Annotated[int, Query(gt=0, le=YEARS)]) -> None:
        playground.clock.advance(seconds)

    @router.post("/restart")
    async def restart(worker: Name) -> None:
        await workers[worker].restart()

    @router.post("/start-over")
    async def start_over() -> None:
        await playground.start_over()

    @router.post("/flood")
    async def flood(worker: Name) -> dict[str, Any]:
        return await playground.flood(workers[worker])

    return router


def create_app(issuer: FakeIssuer, clock: ForwardClock) -> FastAPI:
    """Return the playground for a running provider. `app.state.seen`: time of the last request."""
    playground = Playground(issuer, clock)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        yield
        await playground.aclose()

    app = FastAPI(title="auth-jwks playground", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.seen = time.monotonic()

    @app.middleware("http")
    async def tell(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        # No other site may press the buttons: browsers state the site of a request.
        site = request.headers.get("Sec-Fetch-Site", "none")
        if request.method != "GET" and site not in {"none", "same-origin"}:
            return Response(status_code=403)
        app.state.seen = time.monotonic()
        taken: list[tuple[float, str]] = []
        measured.set(taken)
        response = await call_next(request)
        response.headers.update(HEADERS)
        for seconds, outcome in taken:
            response.headers["Server-Timing"] = f'verify;dur={seconds * 1e3:.4f};desc="{outcome}"'
        return response

    # Against DNS rebinding: another site can reach this port, but not under these host names.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    app.include_router(controls(playground))
    for worker in playground.workers.values():
        app.include_router(protected(worker))
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app
