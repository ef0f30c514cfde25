"""What every route of every service uses: strict bodies, listings, scopes, ETags; and problem details on errors."""

import base64
import binascii
import re
import time
from collections.abc import Callable, Coroutine, Hashable, Sequence
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import orjson
import structlog
from asyncpg import InternalClientError
from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.types import Scope

from shared.auth import Keys, Principal
from shared.contracts.numbers import case_number, parse_case_number
from shared.contracts.spec import Strict
from shared.db import is_data_error
from shared.errors import Problem
from shared.log import LogUnavailable
from shared.openapi import PROBLEM, Documented, Methods

__all__ = [
    "Answer",
    "CaseName",
    "Cursor",
    "Limit",
    "Listing",
    "Ready",
    "Strict",
    "allow",
    "authorized",
    "case_named",
    "check_rate",
    "create_app",
    "decode_cursor",
    "encode_cursor",
    "etag",
    "expected_version",
    "problem_response",
    "response_to",
    "whence",
]

log = structlog.get_logger()
T = TypeVar("T")

PROBLEM_TYPE = "https://tocsin.dev/problems/"
RETRY_AFTER_S = "1"
MAX_CURSOR = 1_000
REQUEST_ID = "tocsin.request_id"  # in the scope of a request
CARD_DIGITS = 12  # of the shortest card number


class Answer(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(frozen=True)


class Ready(Response):
    """202 with a body that is JSON already: past what the framework does to any answer."""

    def __init__(self, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.status_code, self.body, self.background = 202, body, None
        self.raw_headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
            *headers,
        ]


class Listing(BaseModel, Generic[T]):
    """A page of a list, newest first. Give ``next`` as ``cursor`` to get the following one; null at the end."""

    items: list[T]
    next: str | None = None


Limit = Annotated[int, Query(ge=1, le=500, description="How many items at most")]
Cursor = Annotated[str | None, Query(max_length=MAX_CURSOR, description="The `next` of the page before")]


CaseName = Annotated[str, Path(max_length=60, description="The id of a case, or its number such as C-4812")]


def case_named(name: str) -> UUID | str:
    """The id of a case, or its number as events carry it. Raises a 422 problem on anything else."""
    if (number := parse_case_number(name)) is not None:
        return case_number(number)
    try:
        return UUID(name)
    except ValueError:
        raise Problem(422, "invalid", "This is neither the id of a case nor a number such as C-4812.") from None


def encode_cursor(*parts: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def decode_cursor(cursor: str | None, parts: int) -> tuple[str, ...] | None:
    """The parts that ``encode_cursor`` was given. Raises a 422 problem on anything else."""
    if cursor is None:
        return None
    try:
        found = orjson.loads(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        found = None
    if not isinstance(found, list) or len(found) != parts or not all(isinstance(p, str) for p in found):
        raise Problem(422, "invalid", "This cursor is not one of ours. Leave it out to start from the newest.")
    return tuple(found)


_bearer = HTTPBearer(auto_error=False, description="An API key; `tocsin keys create` makes one")


class _Rate:
    """Requests a minute for one key: a token bucket, of this process."""

    def __init__(self, per_minute: int) -> None:
        self._per_second, self._burst = per_minute / 60, float(per_minute)
        self._buckets: dict[Any, tuple[float, float]] = {}

    def take(self, key: Any) -> bool:
        now = time.monotonic()
        tokens, since = self._buckets.get(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._per_second)
        self._buckets[key] = (max(0.0, tokens - 1), now)
        return tokens >= 1


def allow(scope: str) -> Callable[..., Coroutine[Any, Any, Principal]]:
    """A dependency that gives the caller, who must have ``scope`` (or ``admin``)."""

    async def caller(
        request: Request,
        _credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer, scopes=[scope])],
    ) -> Principal:
        return await authorized(request.scope, request.headers.get("authorization"), scope)

    return caller


async def authorized(request: Scope, authorization: str | None, needed: str) -> Principal:
    """The caller, who must have the scope ``needed`` (or ``admin``) and not be too fast. Raises a problem."""
    state = request["app"].state
    keys: Keys = state.keys
    principal = await keys.authenticate(authorization)
    if not principal.may(needed):
        raise Problem(403, "forbidden", f"This key lacks the scope '{needed}'. Ask an admin for a key that has it.")
    check_rate(request, principal.key_id, "with this key")
    structlog.contextvars.bind_contextvars(principal=principal.name)
    return Principal(principal.key_id, principal.name, principal.scopes, *whence(request))


def whence(request: Scope) -> tuple[str | None, str | None]:
    """The address of the client, as the connection or a trusted proxy says, and the id that the gate gave."""
    client = request.get("client")
    return client[0] if client else None, request.get(REQUEST_ID)


def check_rate(request: Scope, whose: Hashable, said: str) -> None:
    """Raises a 429 problem where ``whose`` requests are more than ``TOCSIN_RATE_LIMIT`` a minute."""
    rate: _Rate = request["app"].state.rate
    if not rate.take(whose):
        raise Problem(429, "too-many-requests", f"Too many requests {said}. Wait, then repeat.", {"Retry-After": "1"})


async def _known(request: Request) -> None:
    """A misspelt query parameter is refused rather than silently doing nothing; and ``GET /v1/contacts/batch`` is no
    contact named batch."""
    route = request.scope.get("route")
    path = request.scope["path"]
    if getattr(route, "path", path) != path and request.app.state.methods.exact(path) is not None:
        raise HTTPException(405)
    known = getattr(route, "known_query", None)
    if known is None:
        known = {p.alias for d in _dependants(getattr(route, "dependant", None)) for p in d.query_params}
        if route is not None:
            route.known_query = known
    for name in request.query_params:
        if name not in known:
            listed = f" Known here: {', '.join(sorted(known))}." if known else " None is known here."
            raise Problem(422, "invalid", f"Unknown query parameter '{_echoed(name[:60])}'.{listed}")


def _echoed(name: str) -> str:
    """A name as the caller wrote it, but for digits that may be a card's: an answer is logged by others."""
    return re.sub(r"\d", "*", name) if sum(map(str.isdigit, name)) >= CARD_DIGITS else name


def _dependants(dependant: Any) -> list[Any]:
    if dependant is None:
        return []
    return [dependant, *(inner for each in dependant.dependencies for inner in _dependants(each))]


_ETAG = re.compile(r'(?:W/)?"?(\d{1,18})"?', re.ASCII)


def etag(version: int) -> str:
    return f'"{version}"'


def expected_version(if_match: str | None) -> int | None:
    """The version in an ``If-Match`` header; None where there is none or it is ``*``."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise Problem(412, "precondition-failed", "If-Match is not an ETag of ours. GET the resource for one.")
    return int(found[1])


def problem_response(problem: Problem, request: Request | None = None) -> Response:
    body = {
        "type": PROBLEM_TYPE + problem.kind,
        "title": problem.kind.replace("-", " ").capitalize(),
        "status": problem.status,
        "detail": problem.detail,
        **({"instance": request.url.path} if request else {}),
        **problem.extra,
    }
    return JSONResponse(body, problem.status, problem.headers, media_type=PROBLEM)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error, request)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [
        {"field": _echoed(".".join(map(str, e["loc"]))), "message": e["msg"].removeprefix("Value error, ")}
        for e in error.errors()[:20]
    ]
    first = found[0] if found else {"field": "body", "message": "invalid"}
    malformed = any(e["type"] == "json_invalid" for e in error.errors())
    kind, status = ("malformed", 400) if malformed else ("invalid", 422)
    return problem_response(Problem(status, kind, f"{first['field']}: {first['message']}", errors=found), request)


_HTTP_KINDS = {400: "malformed", 404: "not-found", 405: "method-not-allowed", 413: "too-large", 415: "unsupported"}
_HTTP_DETAILS = {
    404: "There is nothing at this path. /docs lists the paths.",
    405: "This path has other methods; /docs lists them.",
}


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    plain = error.detail in ("Not Found", "Method Not Allowed")
    detail = _HTTP_DETAILS.get(error.status_code, error.detail) if plain else str(error.detail)
    kind = _HTTP_KINDS.get(error.status_code, "error")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(request.app.state.methods.of(request.scope["path"]))
    return problem_response(Problem(error.status_code, kind, detail, headers), request)


async def _on_database(request: Request, error: Exception) -> Response:
    if is_data_error(error):
        detail = "A value cannot be stored: a character or number that the database does not know. Correct it."
        return problem_response(Problem(422, "invalid", detail), request)
    log.warning("database unavailable", path=request.url.path, error=str(error)[:500])
    return _unavailable("The database does not answer.", request)


async def _on_log(request: Request, error: Exception) -> Response:
    log.warning("log unavailable", path=request.url.path, error=str(error)[:500])
    return _unavailable("The log does not answer.", request)


def _unavailable(what: str, request: Request) -> Response:
    problem = Problem(
        503, "unavailable", f"{what} Nothing was accepted; repeat the request.", {"Retry-After": RETRY_AFTER_S}
    )
    return problem_response(problem, request)


async def _on_bug(request: Request, error: Exception) -> Response:
    log.error("unexpected error", path=request.url.path, exc_info=error)
    detail = "An error of ours; nothing was accepted. Repeat the request; report it with the X-Request-Id."
    return problem_response(Problem(500, "internal", detail), request)


_HANDLERS: dict[type[Exception], Any] = {
    Problem: _on_problem,
    RequestValidationError: _on_invalid,
    HTTPException: _on_http,
    DBAPIError: _on_database,
    PoolTimeout: _on_database,
    PendingRollbackError: _on_database,  # the connection went in the midst of a transaction
    InternalClientError: _on_database,  # … or of what the server said last
    OSError: _on_database,
    TimeoutError: _on_database,
    LogUnavailable: _on_log,
    Exception: _on_bug,
}


async def response_to(error: Exception, request: Request) -> Response:
    """The answer to an error, as the routes give it."""
    handler = next(_HANDLERS[kind] for kind in type(error).__mro__ if kind in _HANDLERS)
    response: Response = await handler(request, error)
    return response


def create_app(title: str, routers: list[APIRouter], keys: Keys, rate_limit: int) -> FastAPI:
    """The application of one service, or of all of them in embedded mode."""
    app = Documented(
        title=title, version="1", dependencies=[Depends(_known)], redoc_url=None, swagger_ui_oauth2_redirect_url=None
    )
    app.state.keys, app.state.rate = keys, _Rate(rate_limit)
    for router in routers:
        app.include_router(router)
    app.state.methods = Methods(app)
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    return app
