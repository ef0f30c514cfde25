"""What every route refuses and how it says so, on a small application of its own."""

from typing import Annotated
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Depends
from pydantic import ValidationError

from shared.auth import Keys, Principal
from shared.clock import SystemClock
from shared.errors import Problem
from shared.gate import Gate
from shared.http import Cursor, Limit, Strict, allow, create_app, decode_cursor, encode_cursor
from shared.ids import Ids


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


@router.get("/broken", dependencies=[Depends(allow("read"))])
async def broken() -> None:
    raise RuntimeError("a secret detail")


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = create_app("test", [router], KnownKeys(), rate_limit=60)
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


async def test_a_streamed_body_over_the_limit_is_refused(client: httpx.AsyncClient) -> None:
    async def endless():  # type: ignore[no-untyped-def]
        for _ in range(100):
            yield b"a" * 1000

    answer = await client.post("/things", content=endless(), headers=WRITE | {"Content-Type": "application/json"})
    assert answer.status_code == 413


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
