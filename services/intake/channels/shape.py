"""Reads what others defined, and makes drafts of it that always fit our limits. Pure, total but for what is needed."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from services.intake import redact
from services.intake.channels.adapter import Received
from services.intake.channels.hook import Unreadable
from services.intake.channels.signatures import form
from services.intake.model.identity import canonical_email, canonical_phone
from services.intake.model.posted import (
    ATTRIBUTES_BYTES,
    ATTRIBUTES_LIMIT,
    BODY_LIMIT,
    EARLIEST,
    SUBJECT_LIMIT,
    TAG_LIMIT,
    TAGS_LIMIT,
    NewActivity,
    NewContact,
)

_SPARE = 1_000  # characters beyond a limit, so that nothing is cut before it is redacted
_DEPTH_LIMIT = 32  # of what is kept of an unreadable body
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*")
_COUNTRY = re.compile(r"[A-Za-z]{2}")

M = TypeVar("M", bound=BaseModel)


def parsed(body: bytes) -> Any:
    """JSON as it is in the world: halves of surrogate pairs and all. Raises ``Unreadable``."""
    try:
        return json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Unreadable("the body is no JSON") from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def clean(text: str) -> str:
    """Without what no database stores: NUL characters and halves of surrogate pairs."""
    text = text.replace("\x00", "\ufffd")
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def cleaned(value: Any, depth: int = 0) -> Any:
    """A whole JSON value, so that the strict models judge its shape and not its letters."""
    if depth > _DEPTH_LIMIT:
        raise Unreadable(f"it is nested more than {_DEPTH_LIMIT} deep")
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(name): cleaned(each, depth + 1) for name, each in value.items()}
    if isinstance(value, list):
        return [cleaned(each, depth + 1) for each in value]
    return value


@dataclass(frozen=True, slots=True)
class Shape:
    """A JSON object that others defined. A path leads through objects; what is not there reads as empty."""

    value: Mapping[str, Any]

    @classmethod
    def of(cls, value: Any) -> "Shape":
        return cls(value if isinstance(value, Mapping) else {})

    def at(self, *path: str) -> Any:
        found: Any = self.value
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def text(self, *path: str) -> str:
        """A string or a number as text; "" for anything else."""
        return scalar(self.at(*path))

    def need(self, *path: str) -> str:
        """Raises ``Unreadable`` where it is empty."""
        if found := self.text(*path):
            return found
        raise Unreadable(f"{'.'.join(path)} is missing")

    def flag(self, *path: str) -> bool | None:
        return {"true": True, "false": False}.get(self.text(*path).lower())

    def object(self, *path: str) -> "Shape":
        return Shape.of(self.at(*path))

    def objects(self, *path: str) -> list["Shape"]:
        found = self.at(*path)
        return [Shape(each) for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []

    def texts(self, *path: str) -> list[str]:
        """A list of strings, or one string of words."""
        found = self.at(*path)
        if isinstance(found, str):
            return clean(found).split()
        return [text for each in found if (text := scalar(each))] if isinstance(found, list) else []

    def moment(self, *path: str) -> datetime | None:
        return moment(self.at(*path))


def scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    return clean(value).strip() if isinstance(value, str) else ""


def moment(value: Any) -> datetime | None:
    """Unix seconds, ISO 8601 (UTC where it names no zone), or RFC 2822; None for what is none, or before 1990."""
    try:
        if isinstance(value, bool):
            return None
        if isinstance(value, int | float):
            at = datetime.fromtimestamp(value, UTC)
        elif isinstance(value, str):
            at = _written(value.strip()[:100])
        else:
            return None
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None
    return at if at >= EARLIEST else None


def _written(text: str) -> datetime:
    if text.isdecimal() and text.isascii():
        return datetime.fromtimestamp(int(text), UTC)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(text)


def by_now(at: datetime | None, received: Received) -> datetime | None:
    """Other people's clocks run ahead: nothing happened after it arrived."""
    return min(at, received.at) if at else None


def identifier(text: str) -> str:
    if len(text) > 300:
        raise Unreadable(f"the identifier {text[:30]}… has more than 300 characters")
    return text


def contact(received: Received, occurred_at: datetime | None = None, **fields: Any) -> NewContact:
    """A contact of what was found, cut to our limits; what does not fit a field is left out of it."""
    long = {name: clean(fields.pop(name, ""))[: limit + _SPARE] for name, limit in _LONG.items()}
    made = NewContact.model_validate(
        {
            **fields,
            "external_id": identifier(fields.get("external_id") or "") or None,
            "thread": identifier(fields.get("thread") or "") or None,
            "occurred_at": by_now(occurred_at, received),
            "customer": _customer(fields.get("customer") or {}),
            "tags": tags(fields.get("tags") or ()),
            "url": web_address(fields.get("url")),
            "language": fitting(_LANGUAGE, fields.get("language"), 35),
            "reason": (fields.get("reason") or "")[:100] or None,
            "attributes": bounded(fields.get("attributes") or {})[0],
            "body": "…",  # its length is judged after it is redacted
        }
    )
    return made.model_copy(update=long)


_LONG = {"subject": SUBJECT_LIMIT, "body": BODY_LIMIT}


def activity(received: Received, occurred_at: datetime | None = None, text: str = "", **fields: Any) -> NewActivity:
    """An activity, cut to our limits."""
    return NewActivity.model_validate(
        {
            **fields,
            "external_id": identifier(fields.get("external_id") or "") or None,
            "thread": identifier(fields.get("thread") or "") or None,
            "occurred_at": by_now(occurred_at, received),
            "actor": (fields.get("actor") or "").strip()[:200] or None,
            "text": redact.text(clean(text)[: BODY_LIMIT + _SPARE]).text[:BODY_LIMIT],
        }
    )


def _customer(found: Mapping[str, str | None]) -> dict[str, str | None]:
    limits = {"id": 300, "email": 320, "phone": 60, "name": 200, "tier": 200}
    kept = {name: (found.get(name) or "").strip() for name in limits}
    fits = {name: value for name, value in kept.items() if value and (len(value) <= limits[name] or name == "name")}
    fits = {name: value[: limits[name]] for name, value in fits.items()}
    return {**fits, "country": fitting(_COUNTRY, found.get("country"), 2)}


def fitting(pattern: re.Pattern[str], text: str | None, limit: int) -> str | None:
    return text if text and len(text) <= limit and pattern.fullmatch(text) else None


def web_address(url: str | None) -> str | None:
    return url if url and len(url) <= 2_000 and url.lower().startswith(("https://", "http://")) else None


def tags(found: Iterable[str]) -> tuple[str, ...]:
    kept = dict.fromkeys(short for each in found if (short := each.strip()[:TAG_LIMIT].strip()))
    return tuple(kept)[:TAGS_LIMIT]


def bounded(found: Mapping[str, JsonValue]) -> tuple[dict[str, JsonValue], dict[str, JsonValue]]:
    """As many attributes as fit our limits, and those that do not."""
    kept: dict[str, JsonValue] = {}
    rest: dict[str, JsonValue] = {}
    size = 2
    for name, value in found.items():
        short = name.strip()[:100]
        unfit = isinstance(value, float) and not math.isfinite(value)
        unfit = unfit or (isinstance(value, int) and abs(value) >= 2**63)
        grown = size + len(json.dumps({short: value}, ensure_ascii=False).encode(errors="replace"))
        if unfit or not short or short in kept or len(kept) >= ATTRIBUTES_LIMIT or grown > ATTRIBUTES_BYTES:
            rest[name] = value
        else:
            kept[short], size = value, grown
    return kept, rest


def lenient(model: type[M], value: Any) -> M:
    """As the strict model reads it, but for fields that it does not know: senders have more than we asked for."""
    value = cleaned(value)
    try:
        return model.model_validate(value)
    except ValidationError as wrong:
        unknown = [each["loc"] for each in wrong.errors(include_url=False) if each["type"] == "extra_forbidden"]
        if not unknown:
            raise
    for *path, name in unknown:
        inner = value
        for step in path:
            inner = inner[step]
        inner.pop(name, None)
    return model.model_validate(value)


def keepable(body: bytes) -> bytes | None:
    """An unreadable body with every card number masked, to be looked at by a person; None where one could hide."""
    try:
        fields = None if body.lstrip()[:1] in (b"{", b"[") else form(body)
        value = cleaned(dict(fields) if fields else json.loads(body, parse_constant=_no_number))
        masked, _ = redact.value(value)
        return json.dumps(masked, ensure_ascii=False).encode()[: redact.RAW_LIMIT]
    except (ValueError, OverflowError, RecursionError, Unreadable):
        return None if b"\\u" in body else redact.raw(body)


_WHOSE = tuple(tuple(path.split(".")) for path in (
    "customer.email", "ticket.requester.email", "data.customer.email", "data.item.user.email",
    "data.item.source.author.email", "fields.email", "email", "customer.phone", "From", "from", "customer.id",
    "ticket.requester.id", "data.customer.id", "data.item.user.user_id", "detail.requester_id",
))  # fmt: skip


def whose(body: bytes) -> str | None:
    """A name by which the customer of an unreadable body is known, where the usual places have one."""
    try:
        fields = None if body.lstrip()[:1] in (b"{", b"[") else form(body)
        found = Shape.of(dict(fields) if fields else parsed(body))
    except Unreadable:
        return None
    for path in _WHOSE:
        if name := found.text(*path)[:320]:
            return canonical_email(name) or canonical_phone(name, None) or name
    return None
