"""Claims: one transaction takes many due deliveries of many lanes, each fenced by a token of its own."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from uuid import UUID

from services.notify.decide.draft import unsent
from services.notify.decide.storms import DIGESTED, WINDOW, Bundle, Digest, Plan, Waiting, plan
from services.notify.message import build
from services.notify.message.templates import worded
from services.notify.model import CATCH_ALL, CaseState
from services.notify.model.commands import Claim, Overdue, Wait
from services.notify.oncall.targets import address
from services.notify.senders import Parcel, links
from services.notify.senders.drawing import closing, draw
from services.notify.store import digests, lanes
from services.notify.store.configuration import kind_of
from shared.batch import Input, Work
from shared.contracts.decision import Decision
from shared.contracts.identity import derived
from shared.db import Tx
from shared.settings import Settings

RECORD_MARGIN = timedelta(seconds=5)  # to record an answer before the claim runs out
EMAIL = "email"  # what a catch-all is that is written as an address
GROUPS = 3  # gathered for one claim
MAX_OVERDUE = 200  # given up in one transaction


@dataclass(frozen=True, slots=True)
class Member:
    """A claimed delivery."""

    case_id: UUID
    delivery_id: UUID
    token: UUID


@dataclass(frozen=True, slots=True)
class Claimed:
    """One message that is ours to send until the claim runs out: of one delivery, or a digest of several."""

    members: tuple[Member, ...]
    way: str
    lane: str
    at: datetime
    begin_by: datetime  # later than this, it is somebody else's before an answer could come
    parcel: Parcel | None  # None where it cannot be made
    trouble: str = ""
    digest: Digest | None = None
    closes: tuple[Digest, ...] = ()  # other digests that the same mail closes


Taken = tuple[Member, CaseState]  # with its case as it was claimed


async def choose(tx: Tx, now: datetime, limit: int, full: Sequence[str], catch_all: str, turn: int) -> list[Waiting]:
    """What may leave now, or is to wait for a digest: a first look, unlocked.

    Only as many groups are gathered as one claim draws; ``turn`` says with which to begin, so that replicas differ.
    """
    heads, room = await lanes.due(tx, now, limit, full)
    grouped = [each.key for each in heads if each.grouping is not None]
    if not grouped:
        return heads
    known, often = await digests.past(tx, grouped, now), Counter(grouped)
    often.update(each.key for each in heads if each.created_at is not None and each.created_at <= now - WINDOW)
    many = [k for k in dict.fromkeys(grouped) if often[k] > 1 or known[k].alone or known[k].digest is not None]
    first = turn % len(many) if many else 0
    taken = (many[first:] + many[:first])[:GROUPS]
    later = set(many) - set(taken)
    gathered = await digests.gather(tx, taken, now) if taken else []
    waiting = list({each.delivery_id: each for each in (*heads, *gathered) if each.key not in later}.values())
    waiting = await _read_by(tx, waiting, catch_all)
    return plan(waiting, known, await digests.tried(tx, waiting), room, now).concerned


async def _read_by(tx: Tx, waiting: list[Waiting], catch_all: str) -> list[Waiting]:
    """With what readers of the catch-all use in place of its name; what is no channel of people goes out alone."""
    if not any(each.way == CATCH_ALL for each in waiting):
        return waiting
    way = await kind_of(tx, catch_all) or EMAIL
    same = {"way": way} if way in DIGESTED else {"grouping": None}
    return [replace(each, **same) if each.way == CATCH_ALL else each for each in waiting]


def due_of(states: Iterable[CaseState], now: datetime) -> list[Waiting]:
    """What of these cases is due and not claimed, in the order of lanes."""
    due = [
        (each.next_at - timedelta(seconds=each.head_start), each.id, state.case_id, each)
        for state in states
        for each in state.deliveries.values()
        if unsent(each) and each.next_at <= now and each.token is None
    ]
    return [Waiting(id, case_id, each.lane, each.grouping, each.attempts) for _, id, case_id, each in sorted(due)]


class Claiming:
    """One claim: a transaction's worth. ``key`` signs the links on which people act."""

    def __init__(self, work: Work[CaseState], key: str, settings: Settings) -> None:
        self._work, self._key, self._settings = work, key, settings
        self._begin_by = work.now + RECORD_MARGIN / 2
        self._until = self._begin_by + timedelta(seconds=settings.send_timeout_s) + RECORD_MARGIN
        self._rooms: dict[str, lanes.Room] = {}

    async def claim(self, chosen: Sequence[Waiting]) -> list[Claimed]:
        """Claim those whose case and lane nobody else holds, as far as their lanes have room."""
        work = self._work
        ours = set(await work.lock_free([each.case_id for each in chosen]))
        self._rooms = await lanes.lock(work.tx, [each.lane for each in chosen], work.now)
        waiting = [each for each in chosen if each.case_id in ours and each.lane in self._rooms]
        past = await digests.past(work.tx, (each.key for each in waiting if each.grouping is not None), work.now)
        tried = await digests.tried(work.tx, waiting)
        free = {lane: room.free for lane, room in self._rooms.items()}
        planned = plan(waiting, past, tried, free, work.now)
        made = [each for each in await self._apply(planned) if each[1]]
        taken = [self._single(*each) for each in made if each[0].digest is None]
        taken += await self._digests([(b.digest, of) for b, of in made if b.digest is not None])
        await self._spend(taken, planned.opened)
        return taken

    async def begin(self, new: Sequence[Waiting], states: Mapping[UUID, CaseState], limit: int) -> list[Claimed]:
        """Claim of what this transaction has just decided and leaves by itself, where its lane has room for it and
        nothing else to send. ``states``: of the cases that it decided about, as they were saved."""
        if not new:
            return []
        work = self._work
        self._rooms = await lanes.lock(
            work.tx, [each.lane for each in new], work.now, [each.delivery_id for each in new]
        )
        free = {lane: room.free for lane, room in self._rooms.items()}
        planned = plan([each for each in new if each.lane in self._rooms][:limit], {}, {}, free, work.now)
        saved = {case_id: replace(of, history=(), tries={}, blocks={}) for case_id, of in states.items()}
        taken = [self._single(*each) for each in await self._apply(planned, saved) if each[1]]
        await self._spend(taken)
        return taken

    async def redraw(self, stale: Sequence[Digest]) -> list[Claimed]:
        """Digests whose cases changed are drawn again, in place."""
        rooms = self._rooms = await lanes.lock(self._work.tx, [digest.lane for digest in stale], self._work.now)
        one_a_lane = {digest.lane: digest for digest in stale if digest.lane in rooms}
        taken = await self._digests([(digest, []) for digest in one_a_lane.values()])
        await self._spend(taken)
        return taken

    async def close(self, since: datetime) -> list[Claimed]:
        """Storms that are over are closed by one mail each, where nobody else closes them."""
        work = self._work
        found = await digests.over(work.tx, since, work.now)
        self._rooms = await lanes.lock(work.tx, [storm[0].lane for storm in found], work.now)
        free = {lane: room.free for lane, room in self._rooms.items()}
        storms = []
        for storm in await digests.over(work.tx, since, work.now):  # a later statement: as they are under the lock
            if free.get(storm[0].lane, 0) > 0:
                free[storm[0].lane] -= 1
                storms.append(storm)
        before = await digests.members(work.tx, [digest.id for storm in storms for digest in storm])
        cases = {case_id for of in before.values() for case_id, _ in of}
        states = dict(await work.service.store.load(work.tx, sorted(cases), work.now)) if cases else {}
        taken = []
        for storm in storms:
            named = [(states[case_id], each) for digest in storm for case_id, each in before.get(digest.id, [])]
            taken.append(self._closing(storm, named))
        await self._spend(taken)
        return taken

    def _closing(self, storm: Sequence[Digest], named: Sequence[tuple[CaseState, UUID]]) -> Claimed:
        now, token = self._work.now, self._work.ids.new()
        first, *others = [replace(d, token=token, lost=d.lost + (d.token is not None)) for d in storm]
        claimed = Claimed((), first.way, first.lane, now, self._begin_by, None, digest=first, closes=tuple(others))
        try:
            found = address(named[0][0].configuration, first.target, first.way, self._settings.catch_all)
            message, ids = closing(named, first, now)
        except (LookupError, IndexError) as over:
            return replace(claimed, trouble=str(over))
        if isinstance(found, str):
            return replace(claimed, trouble=found)
        key = derived("closing", *(digest.id for digest in storm))
        parcel = Parcel(key, message, found, None, now, _place(first.target), ids)
        return replace(claimed, way=found.kind, parcel=parcel)

    async def _spend(self, taken: Sequence[Claimed], opened: Sequence[Digest] = ()) -> None:
        work = self._work
        if taken:
            await lanes.spend(work.tx, Counter(each.lane for each in taken), work.now)
        drawn = [digest for each in taken if each.digest for digest in (each.digest, *each.closes)]
        await digests.take(work.tx, [*opened, *drawn], self._until)

    async def _apply(
        self, planned: Plan, known: Mapping[UUID, CaseState] = MappingProxyType({})
    ) -> list[tuple[Bundle, list[Taken]]]:
        """Decide about all that leaves or waits; gives the bundles with those of their members that are wanted."""
        work, inputs, chosen = self._work, [], []
        for bundle in planned.bundles:
            for each in bundle.members:
                member = Member(each.case_id, each.delivery_id, work.ids.new())
                chosen.append((bundle, member))
                digest_id = bundle.digest.id if bundle.digest is not None else None
                inputs.append(Input(each.case_id, Claim(each.delivery_id, member.token, self._until, digest_id)))
        for hold in planned.holds:
            inputs.append(Input(hold.each.case_id, Wait(hold.each.delivery_id, hold.until, hold.reason)))
        decisions: list[Decision[CaseState]] = await work.apply(inputs, known) if inputs else []
        found: dict[int, list[Taken]] = {}
        for (bundle, member), decision in zip(chosen, decisions, strict=False):  # those that wait come after
            delivery = decision.state.deliveries.get(member.delivery_id)  # none: sent since, and of a page that is over
            if delivery is not None and delivery.token == member.token:
                found.setdefault(id(bundle), []).append((member, decision.state))
        return [(bundle, found.get(id(bundle), [])) for bundle in planned.bundles]

    def _single(self, bundle: Bundle, taken: list[tuple[Member, CaseState]]) -> Claimed:
        """Make the message from the state as it was claimed."""
        [(member, state)] = taken
        delivery, now = state.deliveries[member.delivery_id], self._work.now
        claimed = Claimed((member,), delivery.way, bundle.lane, now, self._begin_by, None)
        found = address(state.configuration, delivery.target, delivery.way, self._settings.catch_all)
        if isinstance(found, str):
            return replace(claimed, trouble=found)
        try:
            message = worded(state.configuration, found, build(state, delivery, now))
        except LookupError as missing:  # nothing to say it with: the next target may fare better
            return replace(claimed, trouble=str(missing))
        act_url = None
        if message.can_acknowledge:
            signed = links.sign(self._key, delivery.page_id, delivery.target, now)
            act_url = f"{self._settings.url}/v1/pages/{delivery.page_id}/action?token={signed}"
        lost_since = delivery.created_at if delivery.lost else None
        known_as = self._rooms[bundle.lane].known_as
        parcel = Parcel(delivery.id, message, found, act_url, now, _place(delivery.target), (), lost_since, known_as)
        return replace(claimed, way=found.kind, parcel=parcel)

    async def _digests(self, asked: Sequence[tuple[Digest, list[Taken]]]) -> list[Claimed]:
        """One message each that names all: those that were in it, and those that join."""
        if not asked:
            return []
        work, now = self._work, self._work.now
        before = await digests.members(work.tx, [digest.id for digest, _ in asked if digest.receipt is not None])
        cases = {case_id for of in before.values() for case_id, _ in of}
        states = dict(await work.service.store.load(work.tx, sorted(cases), now)) if cases else {}
        found = []
        for digest, taken in asked:
            known = states | {member.case_id: state for member, state in taken}
            everyone = [*before.get(digest.id, []), *((member.case_id, member.delivery_id) for member, _ in taken)]
            if everyone:
                named = [(known[case_id], delivery_id) for case_id, delivery_id in everyone]
                found.append(self._digest(digest, [member for member, _ in taken], named))
        return found

    def _digest(self, digest: Digest, members: Sequence[Member], named: Sequence[tuple[CaseState, UUID]]) -> Claimed:
        now, gone = self._work.now, digest.token is not None  # a claim that never came back may have arrived
        digest = replace(digest, token=self._work.ids.new(), lost=digest.lost + gone)
        claimed = Claimed(tuple(members), digest.way, digest.lane, now, self._begin_by, None, digest=digest)
        configuration = named[0][0].configuration
        found = address(configuration, digest.target, digest.way, self._settings.catch_all)
        if isinstance(found, str):
            return replace(claimed, trouble=found)
        try:
            message = draw(named, digest, now)
        except LookupError as over:
            return replace(claimed, trouble=str(over))
        act_url = None
        if message.can_acknowledge:
            signed = links.sign(self._key, digest.id, digest.target, now)
            act_url = f"{self._settings.url}/v1/digests/{digest.id}/action?token={signed}"
        lost_since = digest.opened_at if digest.lost and digest.receipt is None else None
        ids = tuple(delivery_id for _, delivery_id in named)
        place, known_as = _place(digest.target), self._rooms[digest.lane].known_as
        parcel = Parcel(digest.id, message, found, act_url, now, place, ids, lost_since, known_as)
        return replace(claimed, way=found.kind, parcel=parcel)


def _place(target: str) -> str | None:
    """The name of the destination; None for a person."""
    kind, _, name = target.partition(":")
    return name if kind == "destination" else None


async def give_up_overdue(work: Work[CaseState], due: Sequence[tuple[Waiting, str]]) -> None:
    """What waits too long for a lane that takes nothing goes another way."""
    ours = set(await work.lock_free([each.case_id for each, _ in due]))
    inputs = [Input(d.case_id, Overdue(d.delivery_id, why)) for d, why in due if d.case_id in ours]
    if inputs:
        await work.apply(inputs)
