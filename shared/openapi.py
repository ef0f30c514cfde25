"""The OpenAPI document says every answer: what a route may refuse follows from what it takes, in this one place.

A route adds what only it knows, such as ``responses=also(409)``.
"""

from collections.abc import Iterator
from re import Pattern
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel

METHODS = frozenset({"get", "put", "post", "delete", "patch"})
PROBLEM = "application/problem+json"
_SAID = {
    "400": "The body cannot be read: it is cut off, or not in the format that it says it has",
    "401": "No key, or one that is unknown, expired or revoked; of what is signed, a signature that does not fit",
    "403": "The key lacks the scope, or the sender may not do this",
    "404": "There is no such thing",
    "409": "What stands is in the way; `detail` says what",
    "412": "It changed since you read it",
    "413": "The body is larger than the limit",
    "422": "Something in it cannot be accepted; `errors` names each field",
    "429": "Too many requests; `Retry-After` says when to repeat",
    "503": "Not now: the database, the log or a queue. Nothing was accepted; repeat after `Retry-After`",
}
_RETRY = {"Retry-After": {"description": "Seconds", "schema": {"type": "string"}}}
_HEADERS: dict[str, dict[str, Any]] = {
    "401": {"WWW-Authenticate": {"description": "Where a key is asked for", "schema": {"type": "string"}}},
    "429": _RETRY,
    "503": _RETRY,
}


class ProblemDetails(BaseModel):
    """RFC 9457. ``detail`` says what to do; ``errors`` names each field at fault."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: list[dict[str, str]] | None = None


class Methods:
    """Which methods a path has, over all its routes: the framework looks at one route at a time."""

    def __init__(self, app: FastAPI) -> None:
        self._exact: dict[str, set[str]] = {}
        self._patterns: list[tuple[Pattern[str], set[str]]] = []
        for route in iter_route_contexts(app.routes):
            if "{" not in (route.path or "{"):
                self._exact.setdefault(route.path or "", set()).update(route.methods or ())
            elif (pattern := getattr(route, "path_regex", None)) is not None:
                self._patterns.append((pattern, set(route.methods or ())))

    def exact(self, path: str) -> set[str] | None:
        """Those of a path without parameters; None where there is no such path."""
        return self._exact.get(path)

    def of(self, path: str) -> list[str]:
        found = self._exact.get(path) or set().union(*(m for pattern, m in self._patterns if pattern.match(path)))
        return sorted(found)


def also(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route refuses beyond what follows from what it takes: ``responses=also(409)``."""
    return {status: {"description": _SAID[str(status)]} for status in statuses}


class Documented(FastAPI):
    """An application whose document is whole in its answers."""

    def openapi(self) -> dict[str, Any]:
        """The framework's document, completed. Made once."""
        if self.openapi_schema is None:
            self.openapi_schema = _whole(super().openapi())
        return self.openapi_schema


def _whole(document: dict[str, Any]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):  # the framework's own shape, which we never answer
        schemas.pop(unused, None)
    components["responses"] = {f"Problem{status}": _problem(status) for status in _SAID}
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            operation = item[method]
            answers = operation["responses"]
            for status in {*_refusals(path, method, operation), *(_SAID.keys() & answers.keys())}:
                if "content" not in answers.get(status, {}) or status == "422":
                    answers[status] = {"$ref": f"#/components/responses/Problem{status}"}
            operation["responses"] = dict(sorted(answers.items()))
    return document


def _problem(status: str) -> dict[str, Any]:
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    headers = {"headers": _HEADERS[status]} if status in _HEADERS else {}
    return {"description": _SAID[status], "content": content, **headers}


def _refusals(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    named = {(each["in"], each["name"].lower()) for each in operation.get("parameters", ())}
    content = operation.get("requestBody", {}).get("content", {})
    yield "422"  # an unknown query parameter, at the least
    if operation.get("security"):
        yield from ("401", "403", "429")
    if path not in ("/livez", "/asyncapi.json"):  # they ask nobody
        yield "503"
    if content:
        yield "413"
    if "application/json" in content:
        yield "400"
    if any(place == "path" for place, _ in named) and method != "put":
        yield "404"
    if ("header", "if-match") in named:
        yield "412"
