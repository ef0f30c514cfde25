"""Contacts into cases: many at once, in one transaction and a fixed number of statements.

A request brings one contact, a batch up to 500; either is a group here. In order: claim marks (the same contact again)
and trails (the case it belongs to), lock the cases, place each contact, decide, save.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from services.intake.decide import with_contact
from services.intake.model import Arrival, CaseFile, Contact, Happening
from services.intake.store import budgets, claims, contacts
from services.intake.store.claims import Claim
from services.intake.threads import Key, Place, as_filed, connected, explain, mark, place, rebinds, tokens, trail
from shared import telemetry
from shared.batch import Input, Work
from shared.contracts.numbers import case_number
from shared.db import sqlstate
from shared.errors import Problem, conflict
from shared.runtime import Runtime

ATTEMPTS = 5
RIVALS = ("40001", "40P01")  # serialization failure, deadlock: Postgres chose this transaction to give way

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an accepted contact."""

    contact_id: UUID
    case_id: UUID
    case_number: str
    opened_case: bool
    duplicate: bool = False


class Moved(Exception):
    """A case was merged between finding and locking it: begin again."""


async def attempts(runtime: Runtime[CaseFile], body: Callable[[Work[CaseFile]], Awaitable[T]]) -> T:
    """Do ``body`` in a transaction; again in a new one where a case moved meanwhile, or another one was in the way."""
    for _ in range(ATTEMPTS):
        try:
            async with runtime.unit() as work:
                return await body(work)
        except Moved:
            continue
        except DBAPIError as wrong:
            if sqlstate(wrong) not in RIVALS:
                raise
    detail = "Others change the same cases again and again. Nothing was accepted; repeat the request."
    raise Problem(503, "unavailable", detail, {"Retry-After": "1"})


@dataclass(slots=True)
class _New:
    """A contact that is not here yet, on its way to a case."""

    id: UUID
    contact: Contact
    fresh: UUID  # the case it would open
    traceparent: str | None
    mark: Key | None
    trail: Sequence[Key]
    where: Place = field(default_factory=Place)
    number: int = 0

    @property
    def case_id(self) -> UUID:
        return self.where.joins or self.fresh


async def accept(
    work: Work[CaseFile], offered: Sequence[Contact], traces: Sequence[str | None]
) -> list[Accepted | Problem]:
    """File contacts, in order, each with its ``traceparent``.

    Gives for each its answer, or the problem for which nothing was done about it.
    """
    ids = iter(work.ids.several(2 * len(offered)))
    mine = [
        _New(next(ids), each, next(ids), trace, mark(each), trail(each))
        for each, trace in zip(offered, traces, strict=True)
    ]
    held = await claims.take(work.tx, _wanted(mine), work.now)
    new = [each for each in mine if each.mark is None or held[each.mark].subject_id == each.id]
    again = [each for each in mine if each.mark is not None and held[each.mark].subject_id != each.id]
    await _give_back(work, again, new, held)
    judged = await budgets.spend(work.tx, [each.contact for each in new], work.now)
    for each, contact in zip(new, judged, strict=True):
        if contact is not each.contact:
            telemetry.OVER_BUDGET.inc()
        each.contact = contact
    answers = await _file(work, new, held)
    answers |= await _first_answers(work, [held[each.mark] for each in again if each.mark], answers)
    return [_answer(each, held, answers) for each in mine]


def _wanted(mine: Sequence[_New]) -> Iterator[Claim]:
    for each in mine:
        if each.mark:
            yield Claim(each.mark, subject_id=each.id, fingerprint=each.contact.fingerprint)
        for key in each.trail:
            yield Claim(key, case_id=each.fresh)


async def _give_back(
    work: Work[CaseFile], again: Sequence[_New], new: Sequence[_New], held: Mapping[Key, Claim]
) -> None:
    """What only contacts that came before claimed: the cases that they would open are never opened."""
    if not again:
        return
    needed = {key for each in new for key in each.trail}
    never = {each.fresh for each in again}
    idle = {key for each in again for key in each.trail if key not in needed and held[key].case_id in never}
    await claims.release(work.tx, sorted(idle))


async def _first_answers(
    work: Work[CaseFile], held: Sequence[Claim], answers: dict[UUID, Accepted]
) -> dict[UUID, Accepted]:
    earlier = [claim.subject_id for claim in held if claim.subject_id and claim.subject_id not in answers]
    first = await contacts.first_answers(work.tx, earlier)
    return {i: Accepted(i, f.case_id, case_number(f.number), f.opened_case) for i, f in first.items()}


def _answer(new: _New, held: Mapping[Key, Claim], answers: dict[UUID, Accepted]) -> Accepted | Problem:
    key = new.mark
    if key is None or held[key].subject_id == new.id:
        return answers[new.id]
    owner = held[key]
    if owner.fingerprint != new.contact.fingerprint:
        what = f"external_id {new.contact.external_id!r}" if key.kind == "external" else "Message-ID"
        detail = (
            f"This {what} came before with other content. An id names one message: send a new one for a new message."
        )
        return conflict("different-content", detail, contact_id=str(owner.subject_id))
    first = answers.get(owner.subject_id) if owner.subject_id else None
    if first is None:
        return conflict("gone", "This contact was accepted before and is no longer here.")
    return Accepted(first.contact_id, first.case_id, first.case_number, first.opened_case, duplicate=True)


async def _file(work: Work[CaseFile], new: Sequence[_New], held: Mapping[Key, Claim]) -> dict[UUID, Accepted]:
    """Put each new contact into its case; gives the answers by contact."""
    if not new:
        return {}
    leads = {key: held[key] for each in new for key in each.trail}
    fresh = {each.fresh for each in new}
    found = {key: claim.case_id for key, claim in leads.items() if claim.case_id and claim.case_id not in fresh}
    named = {key: number for each in new for key, number in tokens(each.contact).items()}
    numbered = await claims.numbered(work.tx, list(named.values()))
    found |= {key: numbered[number] for key, number in named.items() if number in numbered}
    final = await claims.final_cases(work.tx, list(found.values()))
    holders = {key: final[case_id] for key, case_id in found.items() if case_id in final}
    files = await _lock_and_load(work, sorted(set(holders.values())))
    if numbered != await claims.numbered(work.tx, list(named.values())):  # a follow-up was opened meanwhile
        raise Moved
    bound = _place_all(new, dict(holders), dict(files))
    await _number(work, new, files)
    names = {i: file.name for i, file in files.items()} | {each.case_id: case_number(each.number) for each in new}
    opened = [each.case_id for each in new if each.where.joins is None]
    work.open(opened)
    awaited = [key for key, claim in leads.items() if claim.case_id is None]
    arrived = await contacts.take_waiting(work.tx, awaited)
    inputs = [
        Input(
            each.case_id,
            Arrival(each.id, each.contact, each.number, explain(each.where, names), each.where.follows),
            each.traceparent,
        )
        for each in new
    ]
    inputs += [Input(bound[key], Happening(activity)) for key, group in arrived.items() for activity in group]
    await claims.lead(work.tx, {key: case_id for key, case_id in bound.items() if leads[key].case_id != case_id})
    await work.apply(inputs, files | {case_id: CaseFile(case_id) for case_id in opened})
    return {
        each.id: Accepted(each.id, each.case_id, names[each.case_id], opened_case=each.where.joins is None)
        for each in new
    }


async def _lock_and_load(work: Work[CaseFile], case_ids: Sequence[UUID]) -> dict[UUID, CaseFile]:
    """Raises ``Moved`` where one was merged before it could be locked."""
    if not case_ids:
        return {}
    await work.lock(case_ids)
    files = dict(await work.service.store.load(work.tx, case_ids, work.now))
    if any(file.merged_into for file in files.values()):
        raise Moved
    return files


def _place_all(new: Sequence[_New], holders: dict[Key, UUID], files: dict[UUID, CaseFile]) -> dict[Key, UUID]:
    """Decide where each goes, in order: a later one may join what an earlier one opened. Gives where keys lead now."""
    together = connected([(*each.trail, *tokens(each.contact)) for each in new])
    bound: dict[Key, UUID] = {}
    for each in new:
        each.where = place(each.contact, holders, files)
        each.contact = as_filed(each.contact, each.where)
        changed = rebinds(each.trail, holders, each.case_id, each.where.follows)
        bound |= changed
        if together:
            holders |= changed | {key: each.case_id for key in tokens(each.contact) if each.where.follows}
            file = files.get(each.case_id) or CaseFile(each.case_id)
            files[each.case_id] = with_contact(file, Arrival(each.id, each.contact, 0, explain(Place(), {})))
    return bound


async def _number(work: Work[CaseFile], new: Sequence[_New], files: dict[UUID, CaseFile]) -> None:
    """Give each contact the number of its case: the one it has, or a new one."""
    opened = list(dict.fromkeys(each.case_id for each in new if each.case_id not in files))
    given = dict(zip(opened, await contacts.numbers(work.tx, len(opened)), strict=True))
    for each in new:
        file = files.get(each.case_id)
        each.number = (file.number if file else None) or given[each.case_id]
