"""Errors that people see. Each says what to do."""

from typing import Any


class Problem(Exception):
    """An RFC 9457 problem: ``status``, a stable ``kind`` (the last part of ``type``), and a ``detail`` to act on."""

    def __init__(self, status: int, kind: str, detail: str, headers: dict[str, str] | None = None, **extra: Any):
        super().__init__(detail)
        self.status, self.kind, self.detail, self.extra = status, kind, detail, extra
        self.headers = headers or {}


def not_found(what: str, name: object) -> Problem:
    return Problem(404, "not-found", f"There is no {what} {name!s}. Check the name, or list them with GET.")


def conflict(kind: str, detail: str, **extra: Any) -> Problem:
    return Problem(409, kind, detail, **extra)


def invalid(detail: str, **extra: Any) -> Problem:
    """Well-formed, but cannot be accepted as it is."""
    return Problem(422, "invalid", detail, **extra)


class Misconfigured(Exception):
    """A setting cannot be used; the text names it and says what to write. Ends the start, in one line."""
