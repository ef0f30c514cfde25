"""Documents that people write: strict, immutable, storable."""

import re
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, StringConstraints, model_validator

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

Instant = Annotated[AwareDatetime, BeforeValidator(_written)]
Date = Annotated[date, BeforeValidator(_day)]

MAX_NESTING, MAX_FIELDS = 32, 1_000
READ_ONLY = ("name", "version", "updated_at", "updated_by", "warnings")  # what answers add to a configured document


class Strict(BaseModel):
    """Unknown fields are refused, so that a misspelt one never silently does nothing; so is what no database
    stores: NUL characters, halves of surrogate pairs, integers beyond 64 bits; and endless nesting."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > MAX_FIELDS:  # to name each unknown one takes long
            raise ValueError(f"{len(value)} fields are more than there are; send only those that are documented")
        _check(value, "", 0)
        return value


class Spec(Strict):
    """A configured document, such as a calendar. What was read may be written back: read-only fields are dropped."""

    @model_validator(mode="before")
    @classmethod
    def _without_read_only(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: v for k, v in value.items() if k not in READ_ONLY or k in cls.model_fields}
        return value


def _check(value: Any, path: str, depth: int) -> None:
    if depth > MAX_NESTING:
        raise ValueError(f"{path or 'the body'} is nested more than {MAX_NESTING} deep; flatten it")
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError(f"{path or 'the body'} contains a NUL character; remove it")
        if not value.isascii():
            _check_unicode(value, path)
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{path or 'the body'} is an integer beyond 64 bits; send it as text")
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not (type(key) is str and key.isascii() and "\x00" not in key):
                _check(key, f"the name of a field of {path or 'the body'}", depth + 1)
            if not (type(inner) is str and inner.isascii() and "\x00" not in inner):  # most of what comes, at once
                _check(inner, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            _check(inner, f"{path}[{place}]", depth + 1)


def _check_unicode(value: str, path: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{path or 'the body'} contains half of a surrogate pair; send valid Unicode") from None
