"""The operations of the OpenAPI documents, with values to call them with."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.e2e.client import JSON

UNKNOWN_ID = "01890000-0000-7000-8000-000000000000"
UNKNOWN_NAME = "nobody-has-this-name"
UNKNOWN_NUMBER = 2_000_000_000
METHODS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True)
class Operation:
    """One method of one path of one service."""

    base: str
    method: str
    path: str
    parameters: tuple[JSON, ...]
    content: Mapping[str, Any]  # of the body, by media type
    security: tuple[JSON, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def named(self, where: str) -> list[JSON]:
        return [each for each in self.parameters if each["in"] == where]

    def filled(self, **given: str) -> str:
        """The path with values that are well-formed and name nothing, but for those given."""
        types = {each["name"]: each["schema"] for each in self.named("path")}
        return re.sub(r"\{(\w+)\}", lambda m: given.get(m[1], quote(unknown(types[m[1]]))), self.path)

    @property
    def takes_json(self) -> bool:
        return "application/json" in self.content


def unknown(schema: JSON) -> str:
    if schema.get("format") == "uuid":
        return UNKNOWN_ID
    if schema.get("format") == "date":
        return "2026-11-22"
    return str(UNKNOWN_NUMBER) if schema.get("type") == "integer" else UNKNOWN_NAME


def operations(documents: Mapping[str, JSON]) -> Iterator[Operation]:
    """All of them; those that every service has, such as ``/livez``, once for each."""
    for base, document in documents.items():
        for path, item in document["paths"].items():
            for method in (each for each in METHODS if each in item):
                found = item[method]
                parameters = (*item.get("parameters", ()), *found.get("parameters", ()))
                content = found.get("requestBody", {}).get("content", {})
                yield Operation(base, method.upper(), path, parameters, content, tuple(found.get("security", ())))
