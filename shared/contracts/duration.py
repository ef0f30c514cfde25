"""ISO 8601 durations (``PT4H``): parse, write, and say in plain words."""

import re
from datetime import timedelta
from functools import lru_cache

_PATTERN = re.compile(
    r"P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d{1,6})?)S)?)?"
)
MAX = timedelta(days=366 * 5)


@lru_cache(maxsize=4096)
def parse(text: str, business: bool = False) -> timedelta:
    """``PT1H30M`` → 90 minutes. Raises ``ValueError`` saying what to write instead.

    ``business``: days and weeks are refused, since a business day has no fixed length.
    """
    found = _PATTERN.fullmatch(text)
    if not found or not any(found.groupdict().values()):
        raise ValueError(
            f"{text!r} is not an ISO 8601 duration of weeks, days or time. Write for example PT4H or PT90M."
        )
    parts = {unit: float(number) for unit, number in found.groupdict().items() if number}
    if business and ("days" in parts or "weeks" in parts):
        raise ValueError(
            f"{text!r} counts days, and a business day has no fixed length. Write hours, for example PT8H."
        )
    try:
        length = timedelta(**parts)
    except OverflowError:
        length = MAX + timedelta(1)
    if not timedelta(0) <= length <= MAX:
        raise ValueError(f"{text!r} is longer than five years. Write a shorter duration.")
    return length


@lru_cache(maxsize=4096)
def text(length: timedelta) -> str:
    """The shortest ISO 8601 form in hours, minutes and seconds: ``PT4H``."""
    micros = length // timedelta(microseconds=1)
    if micros < 0:
        raise ValueError("a duration is not negative")
    seconds, micros = divmod(micros, 1_000_000)
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    written = f"{seconds}.{micros:06d}".rstrip("0") if micros else str(seconds)
    out = "".join(f"{n}{u}" for n, u in ((hours, "H"), (minutes, "M")) if n)
    if written != "0":
        out += f"{written}S"
    return "PT" + (out or "0S")


def words(length: timedelta) -> str:
    """For people: ``under 1 s``, ``40 s``, ``5 min``, ``1 h 10 min``, ``3 days 2 h``. Rounded down."""
    seconds = int(abs(length).total_seconds())
    if seconds < 1:
        return "under 1 s"
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 60:
        left = seconds % 60
        return f"{minutes} min" + (f" {left} s" if left and minutes < 5 else "")
    if hours < 48:
        return f"{hours} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return f"{days} days" + (f" {hours % 24} h" if hours % 24 else "")
