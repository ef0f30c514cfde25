"""What is configured: every kind of resource that a service serves, found in the services' own routes.

Documents are compared as *canonical* bodies: what the kind's model makes of them, without what the server adds and
without secrets, which no answer shows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from pydantic import BaseModel, RootModel, ValidationError

from services.embedded import MEMBERS
from services.routing.api.shapes import RulesetBody
from shared.clock import SystemClock
from shared.contracts.spec import READ_ONLY
from shared.db import Database
from shared.ids import Ids
from shared.log import Log
from shared.resources import Kind
from shared.runtime import Runtime
from shared.sealing import FIELDS as SECRET_FIELDS
from shared.sealing import hidden
from shared.settings import read_settings

JSON = dict[str, Any]

# Each after those that it names; a kind that is not here comes last.
ORDER = (
    "calendars", "teams", "people", "templates", "destinations", "schedules", "escalation-policies", "policies",
    "sources",
)  # fmt: skip

RULESET = "ruleset"  # one ordered document beside the named ones; its tests are in it
TESTS = "tests"
RULESET_FIELDS = tuple(name for name in RulesetBody.model_fields if name not in ("note", "based_on"))
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_ANYWHERE = "0.0.0.0/0,::/0"  # where a webhook may go is judged by the server, which knows its network


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One document: ``calendars/dublin``, or ``ruleset`` with no name."""

    folder: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}" if self.name else self.folder

    @property
    def file(self) -> str:
        return f"{self}.yaml"


RULES = Key(RULESET)


@dataclass(frozen=True, slots=True)
class Configurable:
    """A kind of named resource; ``folder`` is the last part of its path, such as ``escalation-policies``."""

    folder: str
    service: str
    kind: Kind

    @property
    def path(self) -> str:
        return self.kind.path

    @property
    def has_secrets(self) -> bool:
        return bool(_secrets_of(self.kind.model))


@cache
def kinds() -> Mapping[str, Configurable]:
    """By folder, each after those that it names. Nothing is connected to."""
    found = [Configurable(kind.path.rsplit("/", 1)[-1], service, kind) for service, kind in _served()]
    last = len(ORDER)
    found.sort(key=lambda each: (ORDER.index(each.folder) if each.folder in ORDER else last, each.folder))
    return {each.folder: each for each in found}


def _served() -> Iterator[tuple[str, Kind]]:
    clock = SystemClock()
    settings = read_settings().model_copy(update={"egress_allow": _ANYWHERE})
    for member in MEMBERS:
        service = member.service()
        db = Database("postgresql+asyncpg://nowhere/none", service.card.name)
        runtime = Runtime(settings, service, db, clock, Ids(clock), cast(Log, None))
        member.assemble(runtime)
        for kind in runtime.configurable:
            yield service.card.name, kind


def place_of(key: Key) -> tuple[int, Key]:
    """For sorting: documents that are named first; the ruleset last."""
    folders = (*kinds(), RULESET)
    return (folders.index(key.folder) if key.folder in folders else len(folders)), key


def canonical(key: Key, body: Mapping[str, Any]) -> JSON:
    """As the server would store and show it; as it stands where the model does not take it."""
    if key == RULES:
        rules = {name: body[name] for name in RULESET_FIELDS if name in body}
        return _dumped(RulesetBody, rules, exclude_defaults=True)  # an answer names all of them
    own = kinds()[key.folder].kind.model
    fields = own.model_fields
    bare = {name: value for name, value in body.items() if name not in READ_ONLY or name in fields}
    ordered: JSON = _weekdays_in_order(_dumped(own, hidden(bare)))
    return ordered


def _dumped(model: type[BaseModel], body: Mapping[str, Any], exclude_defaults: bool = False) -> JSON:
    try:
        made = model.model_validate(body)
        return made.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_defaults=exclude_defaults)
    except ValidationError:
        return dict(body)


def _weekdays_in_order(value: Any) -> Any:
    match value:
        case dict() if value and set(value) <= set(DAYS):
            return {day: value[day] for day in DAYS if day in value}
        case dict():
            return {name: _weekdays_in_order(inner) for name, inner in value.items()}
        case list():
            return [_weekdays_in_order(inner) for inner in value]
    return value


def secret_field(key: Key, body: Mapping[str, Any]) -> str | None:
    """The field of this document that holds what no answer shows, where its model has one."""
    if key == RULES:
        return None
    model = kinds()[key.folder].kind.model
    if not _secrets_of(model):
        return None
    try:
        made: Any = model.model_validate(body)
    except ValidationError:
        return None
    made = made.root if isinstance(made, RootModel) else made
    return next((name for name in type(made).model_fields if name in SECRET_FIELDS), None)


def _secrets_of(model: type[BaseModel]) -> set[str]:
    """Names of secret fields anywhere in the model's schema."""
    found: set[str] = set()
    waiting: list[Any] = [model.model_json_schema()]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            found |= SECRET_FIELDS & set(each.get("properties", {}))
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return found
