"""Activities onto cases: many at once, in one transaction. One whose thread has no contact yet waits for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from services.intake import redact
from services.intake.api.accept import Moved
from services.intake.model import Activity, CaseFile, Happening
from services.intake.model.posted import AHEAD, NewActivity
from services.intake.store import claims, contacts
from services.intake.store.claims import Claim
from services.intake.threads import Key, activity_mark, thread_key
from shared import telemetry
from shared.batch import Input, Work
from shared.contracts.words import ActivityKind
from shared.errors import Problem, conflict, invalid, not_found
from shared.runtime import Runtime

WAITING_OF_THREAD = 200  # activities that may wait for one thread's first contact
WAITING_IN_ALL = 100_000
WAITS_FOR = timedelta(days=30)  # after that no first contact is expected any more: the thread is older than we are
EXPIRED_AT_ONCE = 500
EXPIRY_EVERY_S = 600.0

log = structlog.get_logger()

_PUBLIC = (ActivityKind.AGENT_REPLIED, ActivityKind.CUSTOMER_REPLIED)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The answer to a recorded activity; ``case_id`` is None while it waits for the first contact of its thread."""

    activity_id: UUID
    case_id: UUID | None
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Posted:
    """An activity, and the case it names, if it names one."""

    activity: Activity
    case_id: UUID | None
    traceparent: str | None = None


def normalized(new: NewActivity, activity_id: UUID, now: datetime, history: bool) -> Activity | Problem:
    """With an id, in UTC, redacted. A reply is public where nothing is said."""
    stated = new.occurred_at
    if stated and stated > now + AHEAD:
        return invalid(f"occurred_at is {stated.isoformat()}, in the future. Send the time it happened.")
    masked, counts = redact.activity(
        Activity(
            id=activity_id,
            kind=new.kind,
            occurred_at=min(stated, now) if stated else now,
            stated_at=stated.isoformat() if stated else None,
            received_at=now,
            source=new.source,
            thread=new.thread,
            external_id=new.external_id,
            actor=new.actor,
            public=new.kind in _PUBLIC if new.public is None else new.public,
            automated=new.automated,
            status=new.status,
            priority=new.priority,
            tags=new.tags,
            score=new.score,
            scale=new.scale,
            text=new.text,
            history=history,
            reason=new.reason,
            attributes=new.attributes,
        )
    )
    telemetry.count_redactions(counts)
    return masked


async def record(work: Work[CaseFile], posted: Sequence[Posted]) -> list[Recorded | Problem]:
    """Record activities, in order. Gives for each its answer, or the problem for which nothing was done about it."""
    named = await claims.final_cases(work.tx, [each.case_id for each in posted if each.case_id])
    known = [each for each in posted if each.case_id is None or each.case_id in named]
    held = await _claim(work, known)
    new = [each for each in known if _is_new(each, held)]
    threads = {key: claim.case_id for key, claim in held.items() if key.kind == "thread" and claim.case_id}
    final = await claims.final_cases(work.tx, list(threads.values()))
    by_thread = {key: final[case_id] for key, case_id in threads.items() if case_id in final}
    targets = {each.activity.id: _target(each, named, by_thread) for each in new}
    refused = await _wait(work, [each.activity for each in new if targets[each.activity.id] is None])
    await _happen(work, [each for each in new if targets[each.activity.id]], targets)
    earlier = await _earlier_cases(work, known, held)
    return [_answer(each, named, held, targets, refused, earlier) for each in posted]


async def _claim(work: Work[CaseFile], posted: Sequence[Posted]) -> dict[Key, Claim]:
    wanted: list[Claim] = []
    for each in posted:
        if key := activity_mark(each.activity, each.case_id):
            wanted.append(Claim(key, subject_id=each.activity.id, fingerprint=each.activity.fingerprint))
        if each.case_id is None:
            wanted.append(Claim(_thread(each)))
    return await claims.take(work.tx, wanted, work.now)


def _thread(posted: Posted) -> Key:
    return thread_key(posted.activity.source, posted.activity.thread or "")


def _is_new(posted: Posted, held: dict[Key, Claim]) -> bool:
    key = activity_mark(posted.activity, posted.case_id)
    return key is None or held[key].subject_id == posted.activity.id


def _target(posted: Posted, named: dict[UUID, UUID], by_thread: dict[Key, UUID]) -> UUID | None:
    return named[posted.case_id] if posted.case_id else by_thread.get(_thread(posted))


async def _wait(work: Work[CaseFile], activities: Sequence[Activity]) -> set[UUID]:
    """Let activities wait, within bounds; gives those that may not. The threads' claims are held, so counts hold."""
    if not activities:
        return set()
    keys = {each.id: thread_key(each.source, each.thread or "") for each in activities}
    total, waiting = await contacts.waiting_counts(work.tx, sorted(set(keys.values())), WAITING_IN_ALL)
    counts = dict(waiting)
    kept: list[Activity] = []
    for each in activities:
        key = keys[each.id]
        if total + len(kept) < WAITING_IN_ALL and counts.get(key, 0) < WAITING_OF_THREAD:
            counts[key] = counts.get(key, 0) + 1
            kept.append(each)
    await contacts.wait(work.tx, kept)
    refused = {each.id for each in activities} - {each.id for each in kept}
    marks = [activity_mark(each, None) for each in activities if each.id in refused]
    await claims.release(work.tx, [key for key in marks if key])
    return refused


async def _happen(work: Work[CaseFile], posted: Sequence[Posted], targets: dict[UUID, UUID | None]) -> None:
    inputs = [
        Input(case_id, Happening(each.activity), each.traceparent)
        for each in posted
        if (case_id := targets[each.activity.id])
    ]
    if not inputs:
        return
    case_ids = sorted({each.case_id for each in inputs})
    await work.lock(case_ids)
    files = await work.service.store.load(work.tx, case_ids, work.now)
    if any(file.merged_into for file in files.values()):
        raise Moved
    await work.apply(inputs)


async def _earlier_cases(work: Work[CaseFile], posted: Sequence[Posted], held: dict[Key, Claim]) -> dict[UUID, UUID]:
    keys = [activity_mark(each.activity, each.case_id) for each in posted if not _is_new(each, held)]
    return await contacts.activity_cases(
        work.tx, [subject for key in keys if key and (subject := held[key].subject_id)]
    )


def _answer(
    posted: Posted,
    named: dict[UUID, UUID],
    held: dict[Key, Claim],
    targets: dict[UUID, UUID | None],
    refused: set[UUID],
    earlier: dict[UUID, UUID],
) -> Recorded | Problem:
    activity = posted.activity
    if posted.case_id and posted.case_id not in named:
        return not_found("case", posted.case_id)
    key = activity_mark(activity, posted.case_id)
    if (held[key].subject_id if key else activity.id) in refused:
        detail = "Too many activities wait for the first contact of their thread. Post the contact, then repeat."
        return Problem(429, "too-many-waiting", detail, {"Retry-After": "60"})
    if key is None or held[key].subject_id == activity.id:
        return Recorded(activity.id, targets[activity.id])
    owner = held[key]
    if owner.fingerprint != activity.fingerprint:
        detail = (
            f"external_id {activity.external_id!r} came before with other content. Send a new id for a new activity."
        )
        return conflict("different-content", detail)
    assert owner.subject_id is not None
    case_id = earlier.get(owner.subject_id)
    return Recorded(owner.subject_id, case_id or targets.get(owner.subject_id), duplicate=True)


async def expire(runtime: Runtime[CaseFile]) -> float:
    """Give up activities that waited too long for their contact, so that they hold nobody's place. One batch.

    Gives how long to sleep. One that is sent again after that waits again.
    """
    async with runtime.db.transaction() as tx:
        gone = await contacts.expire_waiting(tx, runtime.clock.now() - WAITS_FOR, EXPIRED_AT_ONCE)
        marks = [key for activity in gone if (key := activity_mark(activity, None))]
        await claims.release(tx, sorted(marks))
    if gone:
        telemetry.UNMATCHED.inc(len(gone))
        log.warning("activities found no contact", activities=len(gone), waited_days=WAITS_FOR.days)
    return 0.0 if len(gone) == EXPIRED_AT_ONCE else EXPIRY_EVERY_S
