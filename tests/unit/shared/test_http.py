"""What every route refuses and how it says so, on a small application of its own."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response
from pydantic import ValidationError
from starlette.types import Message, Receive, Scope, Send

from shared.auth import Keys, Principal
from shared.clock import SystemClock
from shared.contracts.spec import Date, Instant
from shared.errors import Problem
from shared.gate import Gate, Shortcut
from shared.http import Cursor, Limit, Strict, allow, create_app, decode_cursor, encode_cursor
from shared.ids import Ids
from shared.openapi import also


class KnownKeys(Keys):
    """Keys without a database: the secret is the scope."""

    def __init__(self) -> None: ...

    async def authenticate(self, authorization: str | None) -> Principal:
        if not authorization:
            raise Problem(401, "unauthorized", "Send a key.")
        return Principal(UUID(int=1), "test", frozenset([authorization.removeprefix("Bearer ")]))


class Thing(Strict):
    label: str
    inner: dict[str, str] = {}


router = APIRouter()


@router.post("/things")
async def post_thing(thing: Thing, who: Annotated[Principal, Depends(allow("config:write"))]) -> str:
    return f"{who.name}: {thing.label}"


@router.get("/things", dependencies=[Depends(allow("read"))])
async def get_things(limit: Limit = 50, cursor: Cursor = None) -> list[str]:
    return [str(limit), *(decode_cursor(cursor, 2) or ())]


@router.post("/things/batch", dependencies=[Depends(allow("config:write"))], responses=also(409))
async def post_batch() -> None: ...


@router.get("/things/{name}", dependencies=[Depends(allow("read"))])
async def get_thing(name: str) -> str:
    return name


@router.delete("/things/{name}", dependencies=[Depends(allow("config:write"))])
async def delete_thing(name: str, if_match: Annotated[str | None, Header()] = None) -> None: ...


@router.get("/broken", dependencies=[Depends(allow("read"))])
async def broken() -> None:
    raise RuntimeError("a secret detail")


@pytest.fixture
def app() -> FastAPI:
    return create_app("test", [router], KnownKeys(), rate_limit=60)


@pytest.fixture
def client(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(Gate(app, Ids(SystemClock()), {"": 10_000}), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


WRITE, READ = {"Authorization": "Bearer config:write"}, {"Authorization": "Bearer read"}


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "JSON"),
        (b"[]", 422, "body"),
        (b'{"label": 5}', 422, "string"),
        (b'{"label": "a", "lable": "b"}', 422, "lable"),
        (b'{"label": "a\\u0000b"}', 422, "label contains a NUL character; remove it"),
        (b'{"label": "a", "inner": {"k\\u0000": "b"}}', 422, "NUL"),
        (b'{"label": "\\ud800"}', 422, "surrogate"),
        (b'{"label": ' + b"9" * 30 + b"}", 422, "beyond 64 bits"),
        (b'{"label": "a", "inner": ' + b'{"a":' * 60 + b"1" + b"}" * 60 + b"}", 422, "nested"),
        (b"{" + b",".join(b'"f%d":1' % n for n in range(1_001)) + b"}", 422, "1001 fields are more than there are"),
        (b'{"label": "' + b"a" * 20_000 + b'"}', 413, "more than 10000 bytes"),
    ],
)
async def test_bad_bodies_are_problems_that_say_what_to_do(
    client: httpx.AsyncClient, body: bytes, status: int, says: str
) -> None:
    answer = await client.post("/things", content=body, headers=WRITE | {"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.text
    assert {"type", "title", "status", "detail"} <= answer.json().keys()


async def test_the_limit_of_a_path_holds_for_those_below_it() -> None:
    below = FastAPI()

    @below.post("/v1/things/{number}/try")
    async def take(request: Request) -> int:
        return len(await request.body())

    gate = Gate(below, Ids(SystemClock()), {"": 1_000, "/v1/things": 100})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://test") as client:
        answers = [await client.post("/v1/things/7/try", content=b"a" * size) for size in (100, 101)]
    assert [answer.status_code for answer in answers] == [200, 413]


async def test_a_streamed_body_over_the_limit_is_refused(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"a" * 1000

    answer = await client.post("/things", content=endless(), headers=WRITE | {"Content-Type": "application/json"})
    assert answer.status_code == 413


async def test_an_error_behind_the_way_back_to_the_framework_is_answered_once(app: FastAPI) -> None:
    """The framework answers it, and raises it again for the server to log."""

    @app.post("/odd")
    async def odd() -> None:
        raise RuntimeError("a bug")

    async def answer(*_: object) -> Response:
        return Response("not reached")

    said: list[str] = []

    gate = Gate(app, Ids(SystemClock()), {"": 1_000}, {"/odd": Shortcut("read", lambda body: None, answer)})

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        async def noted(message: Message) -> None:
            said.append(message["type"])
            await send(message)

        await gate(scope, receive, noted)

    transport = httpx.ASGITransport(counting, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        found = await client.post("/odd", json={}, headers=READ)
    assert (found.status_code, said.count("http.response.start")) == (500, 1)


async def test_scopes(client: httpx.AsyncClient) -> None:
    assert (await client.post("/things", json={"label": "a"})).status_code == 401
    refused = await client.post("/things", json={"label": "a"}, headers=READ)
    assert refused.status_code == 403
    assert "config:write" in refused.json()["detail"]
    assert (await client.post("/things", json={"label": "a"}, headers=WRITE)).json() == "test: a"
    assert (await client.post("/things", json={"label": "a"}, headers={"Authorization": "Bearer admin"})).is_success


async def test_unknown_query_parameters_are_refused_by_name(client: httpx.AsyncClient) -> None:
    answer = await client.get("/things?limt=5", headers=READ)
    assert answer.status_code == 422
    assert "'limt'" in answer.json()["detail"]
    assert "cursor, limit" in answer.json()["detail"]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "cursor=garbage", "cursor=W10", "cursor=%FF"])
async def test_bad_paging_is_refused(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"/things?{query}", headers=READ)).status_code == 422


async def test_a_cursor_comes_back_as_it_was(client: httpx.AsyncClient) -> None:
    cursor = encode_cursor("a b", "ü\"'")
    assert (await client.get("/things", params={"cursor": cursor}, headers=READ)).json() == ["50", "a b", "ü\"'"]


async def test_an_error_of_ours_shows_no_detail_and_a_request_id(client: httpx.AsyncClient) -> None:
    answer = await client.get("/broken", headers=READ | {"X-Request-Id": "mine-1"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] == "mine-1"


async def test_too_many_requests_say_when_to_repeat(client: httpx.AsyncClient) -> None:
    answers = [await client.get("/things", headers=READ) for _ in range(65)]
    assert [a.status_code for a in answers[:60]] == [200] * 60
    assert answers[-1].status_code == 429
    assert answers[-1].headers["retry-after"] == "1"


def test_a_name_of_a_field_that_is_no_text_is_a_clear_error() -> None:
    """A file in YAML can have one."""
    with pytest.raises(ValidationError, match="Keys should be strings"):
        Thing.model_validate({1: "x"})


async def test_a_path_of_its_own_is_no_name_of_something_else(client: httpx.AsyncClient) -> None:
    refused = await client.get("/things/batch", headers=READ)
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert (await client.get("/things/batches", headers=READ)).json() == "batches"


@pytest.mark.parametrize(("path", "allowed"), [("/things", "GET, POST"), ("/things/x", "DELETE, GET")])
async def test_405_names_the_methods_of_all_routes_of_the_path(
    client: httpx.AsyncClient, path: str, allowed: str
) -> None:
    refused = await client.patch(path, headers=READ)
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)


def test_the_document_names_what_each_route_may_answer_and_no_more(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    found = {f"{method} {path}": [*item[method]["responses"]] for path, item in paths.items() for method in item}
    assert found == {
        "post /things": ["200", "400", "401", "403", "413", "422", "429", "503"],
        "get /things": ["200", "401", "403", "422", "429", "503"],
        "post /things/batch": ["200", "401", "403", "409", "422", "429", "503"],
        "get /things/{name}": ["200", "401", "403", "404", "422", "429", "503"],
        "delete /things/{name}": ["200", "401", "403", "404", "412", "422", "429", "503"],
        "get /broken": ["200", "401", "403", "422", "429", "503"],
    }
    assert paths["/things"]["post"]["security"] == [{"HTTPBearer": ["config:write"]}]


def test_every_problem_of_the_document_is_one_shape_and_says_when_to_repeat(app: FastAPI) -> None:
    made = app.openapi()["components"]
    assert all("application/problem+json" in each["content"] for each in made["responses"].values())
    assert {name for name, each in made["responses"].items() if "Retry-After" in each.get("headers", {})} == {
        "Problem429", "Problem503",
    }  # fmt: skip
    assert "HTTPValidationError" not in made["schemas"]


class Times(Strict):
    at: Instant | None = None
    on: Date | None = None


@pytest.mark.parametrize("at", [0, 1_790_000_000, 1.5, "1790000000", "-1.9", "2026-11-22T07:03:00", "now", True])
def test_a_time_is_written_and_never_guessed_from_a_number(at: object) -> None:
    with pytest.raises(ValidationError):
        Times.model_validate({"at": at})


@pytest.mark.parametrize("on", [0, "0", "1790000000", "2026-11-22T00:00:00Z", "20261122", "2026-13-01"])
def test_a_day_is_written_whole(on: object) -> None:
    with pytest.raises(ValidationError):
        Times.model_validate({"on": on})


def test_times_and_days_as_they_are_written() -> None:
    read = Times.model_validate({"at": "2026-11-22T07:03:00+01:00", "on": "2026-11-22"})
    assert read.model_dump_json() == '{"at":"2026-11-22T07:03:00+01:00","on":"2026-11-22"}'
