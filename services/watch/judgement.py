"""What a round of the watcher means: where it hangs, whom to tell, and when. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Hop(StrEnum):
    """The steps of a contact on its way, each of which may hang."""

    ACCEPTED = "accepted"
    ROUTED = "routed"
    CLOCK = "clock"
    PAGE = "page"
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class Seen:
    """What Tocsin says of a contact whose page did not come; None: the step was done, else why it is not."""

    accepted: str | None = None
    routed: str | None = None
    clock: str | None = None
    page: str | None = None
    delivered: str | None = None


_MEANS = {
    Hop.ACCEPTED: "intake does not accept contacts",
    Hop.ROUTED: "contacts are accepted and get no team: routing, or the way to it, hangs",
    Hop.CLOCK: "cases are routed and their promises do not fire: sla, or the way to it, hangs",
    Hop.PAGE: "promises break and nobody is paged: notify, or the way to it, hangs",
    Hop.DELIVERED: "pages are opened and do not arrive: notify's sending, or the way to the watcher, hangs",
}


def hangs_at(seen: Seen) -> tuple[Hop, str]:
    """The first step that was not done, and what that means. All done: the page is on its way, too slowly."""
    for hop in Hop:
        why: str | None = getattr(seen, hop.value)
        if why is not None:
            return hop, f"{_MEANS[hop]} ({why})"
    return Hop.DELIVERED, "the page was sent, and did not arrive in time"


@dataclass(frozen=True, slots=True)
class Result:
    """How a round ended: ``age`` from the contact's post to its page's arrival, or where it hangs."""

    at: datetime
    age: timedelta | None = None
    hop: Hop | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is remembered from round to round."""

    failures: int = 0  # in a row
    since: datetime | None = None  # the first of them
    called_at: datetime | None = None  # people were told, and not yet that it is over
    succeeded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    failures: int
    repeat: timedelta


@dataclass(frozen=True, slots=True)
class Call:
    """Tell people, by the watcher's own ways. ``over``: it works again."""

    over: bool
    text: str


def judge(before: Standing, result: Result, rules: Rules) -> tuple[Standing, Call | None]:
    """The standing after a round, and whom to tell. ``told`` comes after, where telling worked."""
    if result.age is not None:
        after = replace(before, failures=0, succeeded_at=result.at)
        if before.called_at is None:
            return replace(after, since=None), None
        lasted = _length(result.at - before.since) if before.since else "a while"
        age = result.age.total_seconds()
        return after, Call(True, f"Tocsin works again, after {lasted}: a contact became a page in {age:.1f} s.")
    after = replace(before, failures=before.failures + 1, since=before.since or result.at)
    quiet = before.called_at is not None and result.at - before.called_at < rules.repeat
    if after.failures < rules.failures or quiet:
        return after, None
    last = f"{before.succeeded_at:%Y-%m-%d %H:%M:%S} UTC" if before.succeeded_at else "never since it is watched"
    rounds = "1 round" if after.failures == 1 else f"{after.failures} rounds in a row"
    return after, Call(False, f"Tocsin does not page: {result.text}. {rounds} failed; the last that worked: {last}.")


def told(standing: Standing, call: Call, at: datetime) -> Standing:
    """People know. What nobody could be told is tried again after the next round."""
    return replace(standing, called_at=None, since=None) if call.over else replace(standing, called_at=at)


def _length(time: timedelta) -> str:
    minutes = round(time.total_seconds() / 60)
    return f"{minutes} min" if minutes else f"{time.total_seconds():.0f} s"
