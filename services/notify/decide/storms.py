"""Storms: when many calls for one address come together, the first goes out as itself and the rest in one digest. Pure.

What belongs together has the same ``grouping``: for a place, the team and the cause; for a person, the cause alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.notify.model import CATCH_ALL, Configuration, Purpose
from services.notify.model.specs import On
from shared.contracts.words import Metric

ALONE = 3  # messages of one grouping that may go out each by itself within ``WINDOW``
WINDOW = timedelta(seconds=10)
OPEN_FOR = timedelta(minutes=10)  # a digest takes in what comes; after that the next storm calls anew
MAIL_EVERY = timedelta(minutes=5)  # mails cannot be changed: the next digest mail comes so much later
MAX_CASES = 80  # of one digest; more make another
REDRAW_EVERY = timedelta(seconds=5)  # where only the state of its cases changed
CHANGED = frozenset({"slack"})  # ways whose messages are changed in place
DIGESTED = frozenset({*CHANGED, "email"})  # ways that people read

Key = tuple[str, str]  # lane and grouping


def grouping(
    configuration: Configuration, target: str, way: str, purpose: Purpose, team: str | None, on: On, metric: Metric
) -> str | None:
    """What a message is grouped with; None where it always goes out as itself."""
    kind, _, name = target.partition(":")
    if purpose != Purpose.CALL or way not in DIGESTED or target == CATCH_ALL:
        return None
    if kind == "person":
        return f"|{on}|"
    spec = configuration.destinations.get(name)
    return f"{team or ''}|{on}|{metric}" if spec is None or spec.digest else None


def about(grouping: str) -> str:
    """What the cases of a digest have in common, as people say it."""
    return grouping.partition("|")[0] or "your teams"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that is due. ``digest``: the one in which it was tried before."""

    delivery_id: UUID
    case_id: UUID
    lane: str
    grouping: str | None
    attempts: int = 0
    digest: UUID | None = None


@dataclass(frozen=True, slots=True)
class Digest:
    """One message that names many cases. ``receipt``: the provider's name for it, None until it arrived."""

    id: UUID
    lane: str
    grouping: str
    way: str
    target: str
    opened_at: datetime
    members: int = 0
    receipt: str | None = None
    lost: int = 0
    token: UUID | None = None
    claimed_until: datetime | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """What a lane was lately sent of one grouping: how many alone, and its latest digest."""

    alone: int = 0
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """What goes out as one message: one delivery as itself, or several in a digest (None: a new one)."""

    lane: str
    members: tuple[Waiting, ...]
    together: bool = False
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    bundles: tuple[Bundle, ...]
    later: tuple[tuple[Waiting, datetime], ...]  # what waits for the next digest mail, and until when


def plan(waiting: Sequence[Waiting], past: Mapping[Key, Past], free: Mapping[str, int], now: datetime) -> Plan:
    """What leaves now, given how many messages each lane may send. ``waiting`` is in the order of its lane."""
    bundles: list[Bundle] = []
    later: list[tuple[Waiting, datetime]] = []
    room, grouped = dict(free), _by_key(waiting)
    seen: set[UUID] = set()
    alone = {key: each.alone for key, each in past.items()}
    for each in waiting:
        if each.delivery_id in seen or room.get(each.lane, 0) <= 0:
            continue
        key = (each.lane, each.grouping or "")
        group = [w for w in grouped.get(key, ()) if w.delivery_id not in seen]
        known = past.get(key, Past())
        digest = known.digest if known.digest and is_open(known.digest, now) else None
        if not _groupable(each) or not _storm(known, digest, alone.get(key, 0), len(group)):
            bundles.append(Bundle(each.lane, (each,)))
            seen.add(each.delivery_id)
            alone[key] = alone.get(key, 0) + 1
            room[each.lane] -= 1
            continue
        if digest is not None and digest.claimed_until is not None and digest.claimed_until > now:
            continue  # it is being sent: what comes joins it afterwards
        if digest is not None and digest.receipt and digest.way not in CHANGED:
            later += [(w, digest.opened_at + MAIL_EVERY) for w in group]
            seen |= {w.delivery_id for w in group}
            continue
        bundle = _digest(each.lane, group, digest)
        seen |= {w.delivery_id for w in bundle.members}
        if bundle.members:
            bundles.append(bundle)
            room[each.lane] -= 1
    return Plan(tuple(bundles), tuple(later))


def _by_key(waiting: Sequence[Waiting]) -> dict[Key, list[Waiting]]:
    found: dict[Key, list[Waiting]] = {}
    for each in waiting:
        if _groupable(each):
            found.setdefault((each.lane, each.grouping or ""), []).append(each)
    return found


def _groupable(each: Waiting) -> bool:
    """What was tried as itself stays itself: its provider knows it by its own key."""
    return each.grouping is not None and (not each.attempts or each.digest is not None)


def _storm(known: Past, digest: Digest | None, alone: int, waiting: int) -> bool:
    """A digest takes in whatever comes; after one that is full or was mailed, those that waited make the next."""
    if digest is not None or (known.digest is not None and waiting > 1):
        return True
    return alone > 0 and alone + waiting > ALONE


def is_open(digest: Digest, now: datetime) -> bool:
    """Whether it still takes in cases; for mail, whether the next one has to wait."""
    if digest.closed:
        return False
    if digest.way in CHANGED or not digest.receipt:
        return now < digest.opened_at + OPEN_FOR and (digest.members < MAX_CASES or not digest.receipt)
    return now < digest.opened_at + MAIL_EVERY


def _digest(lane: str, group: Sequence[Waiting], digest: Digest | None) -> Bundle:
    if digest is None:
        return Bundle(lane, tuple(group[:MAX_CASES]), True)
    if digest.receipt is None:  # it may have arrived with these and no others
        return Bundle(lane, tuple(w for w in group if w.digest == digest.id)[:MAX_CASES], True, digest)
    mine = [w for w in group if w.digest == digest.id]
    others = [w for w in group if w.digest != digest.id]
    return Bundle(lane, (*mine, *others[: MAX_CASES - digest.members]), True, digest)
