"""The HTTP API, as these commands use it: one address, one key, problems as words."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from services.config_files.folder import Known
from services.config_files.kinds import JSON, RULES, Key, canonical, kinds
from shared.http import etag

TIMEOUT_S = 60.0
PAGE = 500
TO_COME = ("draft", "shadow", "canary")  # states of a version that has not been active, or is tried again


class Refused(Exception):
    """The server did not do it: its own words, and the problem document that it answered with, if any."""

    def __init__(self, text: str, status: int = 0, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.problem: Mapping[str, Any] = problem or {}

    @property
    def kind(self) -> str:
        return str(self.problem.get("type", "")).rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class Draft:
    """A version of the ruleset that is not active."""

    version: int
    body: JSON


@dataclass(frozen=True, slots=True)
class State:
    """Everything that is configured on a server, canonical."""

    known: Mapping[Key, Known] = field(default_factory=dict)
    draft: Draft | None = None  # the newest ruleset, where it is a draft or on trial


class Server:
    def __init__(self, url: str, key: str, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Any = None, expected: int | None = None, **query: Any) -> Any:
        """The JSON answer; ``expected`` is the version that must stand. Raises ``Refused``."""
        headers = {} if expected is None else {"If-Match": etag(expected)}
        try:
            answer = self._http.request(method, path, json=body, headers=headers, params=query)
        except httpx.HTTPError as wrong:
            said = str(wrong) or type(wrong).__name__
            raise Refused(f"{self.url} does not answer: {said}. Name the server with --server URL.") from None
        if answer.is_success:
            return answer.json() if answer.content else None
        raise _refused(answer)

    def lines(self, method: str, path: str, body: Any, accept: str) -> Iterator[JSON]:
        """The documents of an answer, as they come. Raises ``Refused``."""
        try:
            with self._http.stream(method, path, json=body, headers={"Accept": accept}, timeout=None) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _refused(answer)
                for line in answer.iter_lines():
                    if line.strip():
                        yield json.loads(line)
        except httpx.HTTPError as wrong:
            raise Refused(f"{self.url} broke off: {str(wrong) or type(wrong).__name__}. Repeat it.") from None

    def state(self) -> State:
        found: dict[Key, Known] = {}
        for each in kinds().values():
            for item in self._every(each.path, each.folder):
                key = Key(each.folder, item["name"])
                found[key] = Known(item["version"], canonical(key, item))
        active = self.call("GET", "/v1/rulesets/active")
        found[RULES] = Known(active["version"], canonical(RULES, active))
        return State(found, self._draft(active["version"]))

    def _draft(self, active: int) -> Draft | None:
        newest = self.call("GET", "/v1/rulesets", limit=1)["items"]
        if not newest or newest[0]["state"] not in TO_COME or newest[0]["version"] < active:
            return None
        whole = self.call("GET", f"/v1/rulesets/{newest[0]['version']}")
        return Draft(whole["version"], canonical(RULES, whole)) if whole["based_on"] == active else None

    def _every(self, path: str, folder: str) -> list[JSON]:
        items: list[JSON] = []
        query: dict[str, Any] = {"limit": PAGE}
        while True:
            try:
                page = self.call("GET", path, **query)
            except Refused as refused:
                if refused.status == 404:  # an older server, which has no such kind
                    return []
                raise
            items += page["items"]
            if not page["next"]:
                return sorted(items, key=lambda item: str(item["name"]))
            query["cursor"] = page["next"]


def _refused(answer: httpx.Response) -> Refused:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    problem = problem if isinstance(problem, dict) else {}
    said = problem.get("detail") or answer.text[:300] or answer.reason_phrase
    if answer.status_code == 401:
        said = f"{said} Give a key with TOCSIN_API_KEY, TOCSIN_ADMIN_KEY or --key-file."
    return Refused(str(said), answer.status_code, problem)
