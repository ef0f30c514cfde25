"""Claims: one transaction takes many due deliveries of many lanes, each fenced by a token of its own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from services.notify.decide.storms import Bundle, Digest, Plan, Waiting, plan
from services.notify.message import build
from services.notify.message.templates import worded
from services.notify.model import CaseState
from services.notify.model.commands import Claim, Overdue, Wait
from services.notify.oncall.targets import address
from services.notify.senders import Parcel, links
from services.notify.senders.drawing import draw
from services.notify.store import digests, lanes
from shared.batch import Input, Work
from shared.contracts.decision import Decision
from shared.contracts.identity import derived
from shared.settings import Settings

RECORD_MARGIN = timedelta(seconds=5)  # to record an answer before the claim runs out
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


class Claiming:
    """One claim: a transaction's worth. ``key`` signs the links on which people act."""

    def __init__(self, work: Work[CaseState], key: str, settings: Settings) -> None:
        self._work, self._key, self._settings = work, key, settings
        self._begin_by = work.now + RECORD_MARGIN / 2
        self._until = self._begin_by + timedelta(seconds=settings.send_timeout_s) + RECORD_MARGIN
        self._rooms: dict[str, lanes.Room] = {}

    async def claim(self, due: Sequence[Waiting]) -> list[Claimed]:
        """Claim those whose case and lane nobody else holds, as far as their lanes have room."""
        work = self._work
        ours = set(await work.lock_free([each.case_id for each in due]))
        self._rooms = await lanes.lock(work.tx, [each.lane for each in due], work.now)
        waiting = [each for each in due if each.case_id in ours and each.lane in self._rooms]
        past = await digests.past(work.tx, ((w.lane, w.grouping) for w in waiting if w.grouping), work.now)
        planned = plan(waiting, past, {lane: room.free for lane, room in self._rooms.items()}, work.now)
        made = await self._apply(planned)
        taken = [await self._digest(*each) if each[0].together else self._single(*each) for each in made if each[1]]
        await self._spend(taken)
        return taken

    async def redraw(self, stale: Sequence[Digest]) -> list[Claimed]:
        """Digests whose cases changed are drawn again, in place."""
        self._rooms = await lanes.lock(self._work.tx, [digest.lane for digest in stale], self._work.now)
        taken = []
        for digest in stale:
            room = self._rooms.pop(digest.lane, None)  # one of a lane at once
            if room is not None:
                taken.append(await self._digest(Bundle(digest.lane, (), True, digest), []))
        await self._spend(taken)
        return taken

    async def _spend(self, taken: Sequence[Claimed]) -> None:
        work = self._work
        if not taken:
            return
        await lanes.spend(work.tx, Counter(each.lane for each in taken), work.now)
        await digests.take(work.tx, [each.digest for each in taken if each.digest], self._until)

    async def _apply(self, planned: Plan) -> list[tuple[Bundle, list[tuple[Member, CaseState]]]]:
        """Decide about all that leaves or waits; gives the bundles with those of their members that are wanted."""
        work, inputs, chosen = self._work, [], []
        for bundle in planned.bundles:
            digest_id = _digest_id(bundle) if bundle.together else None
            for each in bundle.members:
                member = Member(each.case_id, each.delivery_id, work.ids.new())
                chosen.append((bundle, member))
                inputs.append(Input(each.case_id, Claim(each.delivery_id, member.token, self._until, digest_id)))
        for each, until in planned.later:
            reason = "It comes with the next digest: a mail about the others left just before it"
            inputs.append(Input(each.case_id, Wait(each.delivery_id, until, reason)))
        decisions: list[Decision[CaseState]] = await work.apply(inputs) if inputs else []
        found: dict[int, list[tuple[Member, CaseState]]] = {}
        for (bundle, member), decision in zip(chosen, decisions, strict=False):  # those that wait come after
            if decision.state.deliveries[member.delivery_id].token == member.token:
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

    async def _digest(self, bundle: Bundle, taken: list[tuple[Member, CaseState]]) -> Claimed:
        """One message that names all: those that were in it, and those that join."""
        work, now = self._work, self._work.now
        old = (await digests.members(work.tx, [bundle.digest.id])).get(bundle.digest.id, []) if bundle.digest else []
        states = dict(await work.service.store.load(work.tx, sorted({case_id for case_id, _ in old}), now))
        states |= {member.case_id: state for member, state in taken}
        everyone = [*old, *((member.case_id, member.delivery_id) for member, _ in taken)]
        digest = self._opened(bundle, taken)
        claimed = Claimed(
            tuple(member for member, _ in taken), digest.way, bundle.lane, now, self._begin_by, None, digest=digest
        )
        configuration = states[everyone[0][0]].configuration
        found = address(configuration, digest.target, digest.way, self._settings.catch_all)
        if isinstance(found, str):
            return replace(claimed, trouble=found)
        message = draw([(states[case_id], delivery_id) for case_id, delivery_id in everyone], digest, now)
        lost_since = digest.opened_at if digest.lost and digest.receipt is None else None
        ids = tuple(delivery_id for _, delivery_id in everyone)
        place, known_as = _place(digest.target), None
        parcel = Parcel(digest.id, message, found, None, now, place, ids, lost_since, known_as)
        return replace(claimed, parcel=parcel)

    def _opened(self, bundle: Bundle, taken: Sequence[tuple[Member, CaseState]]) -> Digest:
        """The digest with a token of its own. A claim before this one that never came back may have arrived."""
        token = self._work.ids.new()
        if bundle.digest is not None:
            gone = bundle.digest.token is not None
            return replace(bundle.digest, token=token, lost=bundle.digest.lost + gone)
        first = bundle.members[0]
        delivery = next(state.deliveries[m.delivery_id] for m, state in taken)
        return Digest(
            _digest_id(bundle), first.lane, first.grouping or "", delivery.way, delivery.target, self._work.now,
            token=token,
        )  # fmt: skip


def _digest_id(bundle: Bundle) -> UUID:
    return bundle.digest.id if bundle.digest else derived(bundle.lane, "digest", bundle.members[0].delivery_id)


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
