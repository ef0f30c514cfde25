"""Where what came in waits to be committed: requests together, in one transaction a group; batches in their own groups.

Each answer is what a transaction of its own would have given. ADR 0009 says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from services.intake.api import holding, lines
from services.intake.api.accept import Accepted, accept, attempts
from services.intake.api.answers import ActivityRecorded
from services.intake.api.record import Posted, Recorded, record
from services.intake.channels.adapter import Rejected
from services.intake.model import CaseFile, Contact
from shared import telemetry
from shared.batch import Work
from shared.errors import Problem
from shared.group_commit import Bounds, GroupCommit
from shared.idempotency import Named, each_once, fingerprint, normalized
from shared.runtime import Runtime

AT_ONCE = 3  # groups of one kind under way: the next ones are made while Postgres writes
GROUP = 500  # requests, or lines of a batch, of one transaction

T = TypeVar("T")
Answered = dict[str, Any]
Answer = tuple[Answered, datetime | None]  # and until when its Idempotency-Key gives it again


@dataclass(frozen=True, slots=True)
class Brought:
    """What one request brings: a contact, or why it is none. ``raw`` is what came in, where it may have to be kept."""

    outcome: Contact | Rejected
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Request(Generic[T]):
    what: T
    named: Named | None
    trace: str | None


def _key(request: _Request[Any]) -> tuple[UUID, str] | None:
    return (request.named.principal, request.named.key) if request.named else None


class Desk:
    """Of one process. ``lines`` of batches go past the other requests, in transactions of their own."""

    def __init__(self, runtime: Runtime[CaseFile]) -> None:
        self._runtime = runtime
        settings = runtime.settings
        bounds = Bounds(settings.accept_queue, settings.accept_queue_bytes, settings.accept_wait_s, GROUP, AT_ONCE)
        alone = Bounds(settings.accept_queue, settings.accept_queue_bytes, settings.accept_wait_s, 1, AT_ONCE)
        self.contacts = GroupCommit("contacts", self._commit_contacts, bounds, _key)
        self.activities = GroupCommit("activities", self._commit_activities, bounds, _key)
        self._contact_lines = GroupCommit("contact lines", self._commit_contact_lines, alone)
        self._activity_lines = GroupCommit("activity lines", self._commit_activity_lines, alone)

    async def contact(self, principal: UUID, key: str | None, brought: Brought, size: int) -> Answer:
        """Accept or quarantine. ``size`` in bytes. Raises a problem; the same ``key`` gives the first answer."""
        named = Named(principal, normalized(key), _print(brought)) if key is not None else None
        return await self.contacts.submit(_Request(brought, named, telemetry.traceparent()), size)

    async def activity(self, principal: UUID, key: str | None, posted: Posted, size: int) -> Answer:
        """Record. Raises a problem; the same ``key`` gives the first answer."""
        named = None
        if key is not None:
            case, content = str(posted.case_id).encode(), posted.activity.fingerprint
            named = Named(principal, normalized(key), fingerprint(b"activity", case, content))
        return await self.activities.submit(_Request(posted, named, posted.traceparent), size)

    async def contact_lines(self, contacts: Sequence[Contact], size: int) -> Sequence[lines.Fate]:
        """A group of a batch's lines, each its own fate. Raises a 503 problem where there is no place for it."""
        return await self._contact_lines.submit(_Request(contacts, None, telemetry.traceparent()), size)

    async def activity_lines(self, posted: Sequence[Posted], size: int) -> Sequence[lines.Fate]:
        return await self._activity_lines.submit(_Request(posted, None, telemetry.traceparent()), size)

    async def _commit_contacts(self, requests: Sequence[_Request[Brought]]) -> list[Answer | Problem]:
        async def body(work: Work[CaseFile]) -> list[Answer | Problem]:
            async def do(places: Sequence[int]) -> list[Answered | Problem]:
                return await _file_or_hold(work, [requests[place] for place in places])

            names = [request.named for request in requests]
            return await each_once(work.tx, names, work.now, self._runtime.settings.idempotency_days, do)

        return await attempts(self._runtime, body)

    async def _commit_activities(self, requests: Sequence[_Request[Posted]]) -> list[Answer | Problem]:
        async def body(work: Work[CaseFile]) -> list[Answer | Problem]:
            async def do(places: Sequence[int]) -> list[Answered | Problem]:
                return [_recorded(fate) for fate in await record(work, [requests[place].what for place in places])]

            names = [request.named for request in requests]
            return await each_once(work.tx, names, work.now, self._runtime.settings.idempotency_days, do)

        return await attempts(self._runtime, body)

    async def _commit_contact_lines(
        self, groups: Sequence[_Request[Sequence[Contact]]]
    ) -> list[Sequence[lines.Fate] | Problem]:
        async def together(contacts: Sequence[Contact]) -> Sequence[Accepted | Problem]:
            traces = [group.trace] * len(contacts)
            return await attempts(self._runtime, lambda work: accept(work, contacts, traces))

        [group] = groups
        return [[_accepted(fate) for fate in await lines.each_its_own(group.what, together)]]

    async def _commit_activity_lines(
        self, groups: Sequence[_Request[Sequence[Posted]]]
    ) -> list[Sequence[lines.Fate] | Problem]:
        async def together(posted: Sequence[Posted]) -> Sequence[Recorded | Problem]:
            return await attempts(self._runtime, lambda work: record(work, posted))

        [group] = groups
        return [[_recorded(fate) for fate in await lines.each_its_own(group.what, together)]]


async def _file_or_hold(work: Work[CaseFile], requests: Sequence[_Request[Brought]]) -> list[Answered | Problem]:
    offered = [(request.what.outcome, request.trace) for request in requests]
    contacts = [(outcome, trace) for outcome, trace in offered if isinstance(outcome, Contact)]
    results = iter(await accept(work, [outcome for outcome, _ in contacts], [trace for _, trace in contacts]))
    fates: list[Accepted | Problem | Brought] = []
    for request in requests:
        brought = request.what
        if isinstance(brought.outcome, Rejected):
            fates.append(brought)
            continue
        result = next(results)
        reused = isinstance(result, Problem) and holding.reused(brought.outcome, result)
        fates.append(Brought(reused, brought.raw) if reused else result)
    held = [(fate.outcome, fate.raw or b"") for fate in fates if isinstance(fate, Brought)]
    kept = iter(await holding.hold(work, [(outcome, raw) for outcome, raw in held if isinstance(outcome, Rejected)]))
    return [next(kept) if isinstance(fate, Brought) else _accepted(fate) for fate in fates]


def _print(brought: Brought) -> bytes:
    """Of what may be kept, where it is known: a hash of an original card number would give it away."""
    if isinstance(brought.outcome, Contact):
        return fingerprint(b"contact", brought.outcome.fingerprint)
    return fingerprint(b"rejected", brought.outcome.raw or brought.raw or b"")


def _accepted(fate: Accepted | Problem) -> Answered | Problem:
    """A ``ContactAccepted``, without the cost of making one."""
    if isinstance(fate, Problem):
        return fate
    return {
        "contact_id": str(fate.contact_id),
        "case_id": str(fate.case_id),
        "case_number": fate.case_number,
        "opened_case": fate.opened_case,
        "duplicate": fate.duplicate,
    }


def _recorded(fate: Recorded | Problem) -> Answered | Problem:
    if isinstance(fate, Problem):
        return fate
    return ActivityRecorded(
        activity_id=fate.activity_id,
        case_id=fate.case_id,
        waiting=fate.case_id is None,
        duplicate=fate.duplicate,
    ).model_dump(mode="json")
