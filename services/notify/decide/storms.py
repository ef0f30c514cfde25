"""Storms: when many calls for one address come together, the first goes out as itself and the rest in one digest. Pure.

What belongs together has the same ``grouping``: for a place, the team and the cause; for a person or the catch-all,
the cause alone. Slack's digests take in what comes and are changed in place; mails cannot be changed, so a digest mail
gathers for a moment, and the next one comes some time later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from services.notify.model import CATCH_ALL, Configuration, Purpose
from services.notify.model.specs import On
from shared.contracts.identity import derived
from shared.contracts.words import Metric

ALONE = 3  # messages of one grouping that may go out each by itself within ``WINDOW``
WINDOW = timedelta(seconds=10)  # also how long the first digest mail of a storm gathers
OPEN_FOR = timedelta(minutes=10)  # a digest takes in what comes; after that the next storm calls anew
MAIL_EVERY = timedelta(minutes=1)  # the next digest mail comes so much later
CLOSES_AFTER = timedelta(hours=1)  # … and a last one says what still waits; sooner where all is over
BEHIND = timedelta(seconds=5)  # what waits for a digest whose answer has not come looks again after it
MAX_CASES = 80  # of one digest; more make another
MAX_CLAIMED = 240  # cases drawn in one transaction
REDRAW_EVERY = timedelta(seconds=5)  # where only the state of its cases changed
CHANGED = frozenset({"slack"})  # ways whose messages are changed in place
DIGESTED = frozenset({*CHANGED, "email"})  # ways that people read

GATHERS = "More came together with it: it comes with them in a digest"

Key = tuple[str, str]  # lane and grouping


def grouping(
    configuration: Configuration, target: str, way: str, purpose: Purpose, team: str | None, on: On, metric: Metric
) -> str | None:
    """What a message is grouped with; None where it always goes out as itself."""
    kind, _, name = target.partition(":")
    if purpose != Purpose.CALL or way not in (*DIGESTED, CATCH_ALL):
        return None
    if kind == "person" or target == CATCH_ALL:
        return f"|{on}|"
    spec = configuration.destinations.get(name)
    return f"{team or ''}|{on}|{metric}" if spec is None or spec.digest else None


def about(grouping: str) -> str:
    """What the cases of a digest have in common, as people say it."""
    return grouping.partition("|")[0] or "your teams"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that is due. ``digest``: the one in which it was tried before. ``way``: what its readers use."""

    delivery_id: UUID
    case_id: UUID
    lane: str
    grouping: str | None
    attempts: int = 0
    digest: UUID | None = None
    way: str = ""
    target: str = ""
    created_at: datetime | None = None

    @property
    def key(self) -> Key:
        return self.lane, self.grouping or ""


@dataclass(frozen=True, slots=True)
class Digest:
    """One message that names many cases. ``receipt``: the provider's name for it, None until it arrived.

    ``members``: those that it names, or that will be tried with it again.
    """

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

    @property
    def changes(self) -> bool:
        return self.way in CHANGED

    @property
    def closing(self) -> bool:
        """It arrived and cannot be changed: if it is drawn once more, then for the mail that closes it."""
        return self.receipt is not None and not self.changes


@dataclass(frozen=True, slots=True)
class Past:
    """What a lane was lately sent of one grouping: how many alone, and its latest digest."""

    alone: int = 0
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """What goes out as one message: one delivery as itself, or several in a digest."""

    lane: str
    members: tuple[Waiting, ...]
    digest: Digest | None = None

    @property
    def weight(self) -> int:
        """How many cases are drawn for it."""
        old = self.digest.members if self.digest is not None and self.digest.receipt is not None else 0
        return len(self.members) + old


@dataclass(frozen=True, slots=True)
class Hold:
    """What waits for a digest, until when, and why."""

    each: Waiting
    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """``opened``: digests that begin to gather."""

    bundles: tuple[Bundle, ...]
    holds: tuple[Hold, ...]
    opened: tuple[Digest, ...] = ()

    @property
    def concerned(self) -> list[Waiting]:
        return [*(each for bundle in self.bundles for each in bundle.members), *(hold.each for hold in self.holds)]


def plan(
    waiting: Sequence[Waiting],
    past: Mapping[Key, Past],
    tried: Mapping[UUID, Digest],
    free: Mapping[str, int],
    now: datetime,
) -> Plan:
    """What leaves now, given how many messages each lane may send. ``waiting`` is in the order of its lane.

    ``tried``: the digests in which any of them were tried before.
    """
    planning = _Planning(past, tried, dict(free), now)
    for each in waiting:
        if _groupable(each):
            planning.groups.setdefault(each.key, []).append(each)
    for each in waiting:
        if each.delivery_id not in planning.seen and planning.room.get(each.lane, 0) > 0:
            planning.place(each)
    return Plan(_bounded(planning.bundles), tuple(planning.holds), tuple(planning.opened))


def _bounded(bundles: Sequence[Bundle]) -> tuple[Bundle, ...]:
    """First what goes out as itself, then as many digests as one transaction draws; the others come in the next."""
    taken = [bundle for bundle in bundles if bundle.digest is None]
    drawn = 0
    for bundle in (each for each in bundles if each.digest is not None):
        drawn += bundle.weight
        if drawn > MAX_CLAIMED:
            break
        taken.append(bundle)
    return tuple(taken)


def _groupable(each: Waiting) -> bool:
    """What was tried as itself stays itself: its provider knows it by its own key."""
    return each.grouping is not None and (not each.attempts or each.digest is not None)


@dataclass(slots=True)
class _Planning:
    past: Mapping[Key, Past]
    tried: Mapping[UUID, Digest]
    room: dict[str, int]
    now: datetime
    groups: dict[Key, list[Waiting]] = field(default_factory=dict)
    alone: dict[Key, int] = field(default_factory=dict)
    seen: set[UUID] = field(default_factory=set)
    bundles: list[Bundle] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    opened: list[Digest] = field(default_factory=list)

    def place(self, each: Waiting) -> None:
        tried = self._undecided(each)
        if tried is not None:
            group = [w for w in self.groups.get(each.key, ()) if w.digest == tried.id]
            self._send(Bundle(each.lane, tuple(group), tried))
            return
        known = self.past.get(each.key, Past())
        group = [
            w
            for w in self.groups.get(each.key, ())
            if w.delivery_id not in self.seen and self._undecided(w) is None
        ]  # fmt: skip
        alone = known.alone + self.alone.get(each.key, 0)
        if _groupable(each) and (_storm(known, alone, len(group), self.now) or self._late(group)):
            self._together(group, known)
        else:
            self._send(Bundle(each.lane, (each,)))
            self.alone[each.key] = self.alone.get(each.key, 0) + 1

    def _late(self, group: Sequence[Waiting]) -> bool:
        """Many of them, and some waited long for their lane: nobody gains by one of them alone."""
        oldest = min((each.created_at for each in group if each.created_at is not None), default=self.now)
        return len(group) > ALONE and oldest <= self.now - WINDOW

    def _undecided(self, each: Waiting) -> Digest | None:
        """The digest in which it was tried, where nobody knows yet whether that arrived: the same cases go again."""
        tried = self.tried.get(each.digest) if each.digest is not None else None
        return tried if tried is not None and tried.receipt is None and not tried.closed else None

    def _send(self, bundle: Bundle) -> None:
        self.bundles.append(bundle)
        self.seen |= {each.delivery_id for each in bundle.members}
        self.room[bundle.lane] -= 1

    def _hold(self, group: Sequence[Waiting], until: datetime, reason: str) -> None:
        self.holds += [Hold(each, until, reason) for each in group]
        self.seen |= {each.delivery_id for each in group}

    def _together(self, group: Sequence[Waiting], known: Past) -> None:
        digest = standing(known.digest, self.now)
        if digest is None:
            begun = _begun(group[0], self.now)
            if begun.changes or known.digest is not None or self._late(group):  # else more is to come
                self._split(group)
            else:
                self.opened.append(begun)
                self._hold(group, self.now + WINDOW, GATHERS)
        elif self._out(digest):
            why = "It waits for the digest before it, whose answer has not come yet"
            self._hold(group, self.now + BEHIND, why)
        elif digest.receipt is None and self.now < digest.opened_at + WINDOW:
            self._hold(group, digest.opened_at + WINDOW, GATHERS)
        elif digest.receipt is None:
            self._send(Bundle(digest.lane, tuple(group[:MAX_CASES]), digest))
            self._split(group[MAX_CASES:])
        elif digest.changes:
            self._send(Bundle(digest.lane, tuple(group[: MAX_CASES - digest.members]), digest))
            self.seen |= {each.delivery_id for each in group}
        else:
            why = "It comes with the next digest: a mail about the others left just before it"
            self._hold(group, digest.opened_at + MAIL_EVERY, why)

    def _out(self, digest: Digest) -> bool:
        """It is being sent, or will be tried again with what it names."""
        being_sent = digest.claimed_until is not None and digest.claimed_until > self.now
        return being_sent or (digest.receipt is None and digest.members > 0)

    def _split(self, group: Sequence[Waiting]) -> None:
        """New digests, as many as name all of them and as the lane takes."""
        for at in range(0, len(group), MAX_CASES):
            part = group[at : at + MAX_CASES]
            if self.room[part[0].lane] > 0:
                self._send(Bundle(part[0].lane, tuple(part), _begun(part[0], self.now)))
        self.seen |= {each.delivery_id for each in group}


def _begun(first: Waiting, now: datetime) -> Digest:
    id = derived(first.lane, "digest", first.delivery_id)
    return Digest(id, first.lane, first.grouping or "", first.way, first.target, now)


def _storm(known: Past, alone: int, waiting: int, now: datetime) -> bool:
    """A digest takes in whatever comes; after one that is full or was mailed, those that waited make the next."""
    if standing(known.digest, now) is not None or (known.digest is not None and waiting > 1):
        return True
    return alone > 0 and alone + waiting > ALONE


def standing(digest: Digest | None, now: datetime) -> Digest | None:
    """The digest, where it still concerns what comes: it takes it in, or makes it wait."""
    if digest is None or digest.closed:
        return None
    if digest.receipt is None:
        sent_before = digest.lost > 0 or digest.token is not None
        return None if sent_before and not digest.members else digest  # nobody is left who could be tried with it
    if digest.members >= MAX_CASES:
        return None
    return digest if now < digest.opened_at + (OPEN_FOR if digest.changes else MAIL_EVERY) else None
