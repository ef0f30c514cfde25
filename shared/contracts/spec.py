"""Documents that people write: strict, immutable, storable."""

import re
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

_WRITTEN = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _written(value: Any) -> Any:
    """A number would be taken for seconds or milliseconds since 1970, whichever looks right."""
    if isinstance(value, date | datetime) or (isinstance(value, str) and _WRITTEN.match(value)):
        return value
    raise ValueError("write the time as RFC 3339 with a zone, for example 2026-11-22T07:03:00Z")


def _day(value: Any) -> Any:
    if type(value) is date or (isinstance(value, str) and _WRITTEN.fullmatch(value)):
        return value
    raise ValueError("write the day as 2026-11-22")


Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]  # permanent; a `label` is shown
Label = Annotated[str, StringConstraints(min_length=1, max_length=200)]

Whole = Annotated[int, Field(strict=True)]  # true is no 1, and "1" is a text
Number = Annotated[float, Field(strict=True)]

Instant = Annotated[AwareDatetime, BeforeValidator(_written)]
Date = Annotated[date, BeforeValidator(_day)]

_LISTS = (list, tuple)  # `list | tuple` would be made anew for each of many values
MAX_NESTING, MAX_FIELDS = 32, 1_000
READ_ONLY = ("name", "version", "updated_at", "updated_by", "warnings")  # what answers add to a configured document


class Part(BaseModel):
    """Within a document, which is checked whole. Unknown fields are refused, so that a misspelt one never silently does
    nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, value: Any) -> Any:
        return _few(value)


class Strict(Part):
    """A document. What no database stores is refused too: NUL characters, halves of surrogate pairs, integers beyond 64
    bits; and endless nesting."""

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        if wrong := _unstorable(_few(value), 0):
            raise ValueError(wrong.said())
        return value


class Spec(Strict):
    """A configured document, such as a calendar. What was read may be written back: read-only fields are dropped."""

    @model_validator(mode="before")
    @classmethod
    def _without_read_only(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: v for k, v in value.items() if k not in READ_ONLY or k in cls.model_fields}
        return value


def _few(value: Any) -> Any:
    if isinstance(value, dict) and len(value) > MAX_FIELDS:  # to name each unknown one takes long
        raise ValueError(f"{len(value)} fields are more than there are; send only those that are documented")
    return value


@dataclass(slots=True)
class _Unstorable:
    """``path`` leads to it from within: the innermost step first."""

    what: str
    of_name: bool = False
    path: list[str] = field(default_factory=list)

    def at(self, step: str) -> Self:
        self.path.append(step)
        return self

    def said(self) -> str:
        where = "".join(reversed(self.path)).removeprefix(".") or "the body"
        return f"{f'the name of a field of {where}' if self.of_name else where} {self.what}"


def _unstorable(value: Any, depth: int) -> _Unstorable | None:
    """The first thing in it that no database stores. A large body has ten thousands of values: no work but the test."""
    if depth > MAX_NESTING:
        return _Unstorable(f"is nested more than {MAX_NESTING} deep; flatten it")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not _plain(key) and (wrong := _unstorable(key, depth + 1)):
                wrong.of_name = True
                return wrong
            if not _plain(inner) and (wrong := _unstorable(inner, depth + 1)):
                return wrong.at(f".{key}")
    elif isinstance(value, _LISTS):
        for place, inner in enumerate(value):
            if not _plain(inner) and (wrong := _unstorable(inner, depth + 1)):
                return wrong.at(f"[{place}]")
    elif isinstance(value, str):
        if "\x00" in value:
            return _Unstorable("contains a NUL character; remove it")
        if not value.isascii() and not _encodes(value):
            return _Unstorable("contains half of a surrogate pair; send valid Unicode")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        return _Unstorable("is an integer beyond 64 bits; send it as text")
    return None


def _plain(value: Any) -> bool:
    """Most of what comes, at once."""
    return (type(value) is str and value.isascii() and "\x00" not in value) or (
        type(value) is int and -(2**63) <= value < 2**63
    )


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
