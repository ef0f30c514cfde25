"""Claims: one transaction takes many due deliveries of many lanes, each fenced by a token of its own."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.notify.message import build
from services.notify.message.templates import worded
from services.notify.model import CaseState
from services.notify.model.commands import Claim, Overdue
from services.notify.oncall.targets import address
from services.notify.senders import Parcel, links
from services.notify.store import lanes
from shared.batch import Input, Work
from shared.settings import Settings

RECORD_MARGIN = timedelta(seconds=5)  # to record an answer before the claim runs out
MAX_OVERDUE = 200  # given up in one transaction


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours until the claim runs out."""

    case_id: UUID
    delivery_id: UUID
    token: UUID
    way: str
    lane: str
    begin_by: datetime  # later than this, it is somebody else's before an answer could come
    parcel: Parcel | None  # None where it cannot be made
    trouble: str = ""


async def claim(work: Work[CaseState], due: list[lanes.Due], key: str, settings: Settings) -> list[Claimed]:
    """Claim those whose case and lane nobody else holds, as far as their lanes have room."""
    ours = set(await work.lock_free([each.case_id for each in due]))
    rooms = await lanes.lock(work.tx, [each.lane for each in due], work.now)
    free = Counter({lane: room.free for lane, room in rooms.items()})
    inputs, chosen = [], []
    begin_by = work.now + RECORD_MARGIN / 2
    until = begin_by + timedelta(seconds=settings.send_timeout_s) + RECORD_MARGIN
    for each in due:
        if each.case_id in ours and free[each.lane] > 0:
            free[each.lane] -= 1
            token = work.ids.new()
            chosen.append((each, token))
            inputs.append(Input(each.case_id, Claim(each.delivery_id, token, until)))
    if not inputs:
        return []
    decisions = await work.apply(inputs)
    taken = [
        _taken(each, token, decision.state, _Making(work.now, begin_by, key, settings, rooms[each.lane].known_as))
        for (each, token), decision in zip(chosen, decisions, strict=True)
        if decision.state.deliveries[each.delivery_id].token == token
    ]
    await lanes.spend(work.tx, Counter(each.lane for each in taken), work.now)
    return taken


@dataclass(frozen=True, slots=True)
class _Making:
    """What a parcel is made with, besides the state."""

    now: datetime
    begin_by: datetime
    key: str
    settings: Settings
    known_as: str | None


def _taken(due: lanes.Due, token: UUID, state: CaseState, making: _Making) -> Claimed:
    """Make the message from the state as it was claimed."""
    delivery, settings, now = state.deliveries[due.delivery_id], making.settings, making.now

    def claimed(way: str, parcel: Parcel | None, trouble: str = "") -> Claimed:
        return Claimed(due.case_id, delivery.id, token, way, due.lane, making.begin_by, parcel, trouble)

    found = address(state.configuration, delivery.target, delivery.way, settings.catch_all)
    if isinstance(found, str):
        return claimed(delivery.way, None, found)
    try:
        message = worded(state.configuration, found, build(state, delivery, now))
    except LookupError as missing:  # nothing to say it with: the next target may fare better
        return claimed(delivery.way, None, str(missing))
    act_url = None
    if message.can_acknowledge:
        signed = links.sign(making.key, delivery.page_id, delivery.target, now)
        act_url = f"{settings.url}/v1/pages/{delivery.page_id}/action?token={signed}"
    lost_since = delivery.created_at if delivery.lost else None
    kind, _, name = delivery.target.partition(":")
    destination = name if kind == "destination" else None
    parcel = Parcel(delivery.id, message, found, act_url, now, destination, lost_since, making.known_as)
    return claimed(found.kind, parcel)


async def give_up_overdue(work: Work[CaseState], due: list[tuple[lanes.Due, str]]) -> None:
    """What waits too long for a lane that takes nothing goes another way."""
    ours = set(await work.lock_free([each.case_id for each, _ in due]))
    inputs = [Input(d.case_id, Overdue(d.delivery_id, why)) for d, why in due if d.case_id in ours]
    if inputs:
        await work.apply(inputs)
