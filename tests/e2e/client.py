"""A thin HTTP client of Tocsin's public API, wherever its services run; and bounded waiting."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import httpx

T = TypeVar("T")

LOOK_EVERY_S = 0.05
REQUEST_TIMEOUT_S = 30.0
JSON = dict[str, Any]


def until(look: Callable[[], T | None], within_s: float, what: str) -> T:
    """The first true value that ``look`` gives. Fails after ``within_s``, saying what never came."""
    give_up = time.monotonic() + within_s
    while not (found := look()):
        if time.monotonic() > give_up:
            raise AssertionError(f"{what}: not within {within_s:g} s; the last look gave {found!r}")
        time.sleep(LOOK_EVERY_S)
    return found


class Routes:
    """Which base URL serves a path: what a gateway knows, made from the OpenAPI documents of the services."""

    def __init__(self, documents: Mapping[str, JSON]) -> None:
        self._of: list[tuple[re.Pattern[str], str]] = []
        found = [(path, base) for base, document in documents.items() for path in document["paths"]]
        for path, base in sorted(found, key=lambda each: ("{" in each[0], each[0])):
            pattern = re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path))
            self._of.append((re.compile(pattern), base))
        self.first = next(iter(documents))

    def base(self, path: str) -> str:
        bare = path.partition("?")[0]
        return next((base for pattern, base in self._of if pattern.fullmatch(bare)), self.first)


class Client:
    """Every call says which answers it expects, and fails with the answer's own words on another."""

    def __init__(self, routes: Routes, key: str) -> None:
        self.routes = routes
        self.key = key
        self._http = httpx.Client(timeout=REQUEST_TIMEOUT_S, headers={"Authorization": f"Bearer {key}"})

    def close(self) -> None:
        self._http.close()

    def send(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Any request, any answer."""
        return self.send_to(self.routes.base(path), method, path, **how)

    def send_to(self, base: str, method: str, path: str, **how: Any) -> httpx.Response:
        """To one service of several that have the path."""
        return self._http.request(method, base + path, **how)

    def at(self, base: str, path: str) -> Any:
        """What one service says of itself: paths that every service has."""
        answer = self.send_to(base, "GET", path)
        assert answer.status_code == 200, f"{base}{path} gave {answer.status_code}: {answer.text[:1000]}"
        return answer.json()

    def call(self, method: str, path: str, *expected: int, **how: Any) -> Any:
        answer = self.send(method, path, **how)
        assert answer.status_code in expected, f"{method} {path} gave {answer.status_code}: {answer.text[:1000]}"
        return answer.json() if answer.content else None

    def get(self, path: str, **params: Any) -> Any:
        return self.call("GET", path, 200, params=params)

    def post(self, path: str, body: Any = None, **how: Any) -> Any:
        return self.call("POST", path, 200, 201, 202, json=body, **how)

    def put(self, path: str, body: Any) -> Any:
        return self.call("PUT", path, 200, 201, json=body)

    def every(self, path: str, **params: Any) -> Iterator[JSON]:
        """All items of a list, over all its pages."""
        page = self.get(path, limit=500, **params)
        while True:
            yield from page["items"]
            if page["next"] is None:
                return
            page = self.get(path, limit=500, cursor=page["next"], **params)
