"""Who of a team is there, what waits in it, and who is away."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path
from pydantic import ConfigDict

from services.routing.api.shapes import Reason
from services.routing.model import PING_PONG, CaseState
from services.routing.model.commands import Release
from services.routing.staffing import Away, Bench, Presence, full, nobody, presence
from services.routing.store import RoutingStore, desks
from services.routing.store.desks import Held, Queue
from shared import audit
from shared.audit import Act
from shared.auth import Principal
from shared.batch import Input
from shared.contracts.envelope import Because
from shared.contracts.spec import Instant
from shared.errors import invalid, not_found
from shared.http import Answer, Strict, allow
from shared.openapi import also
from shared.resources import ResourceName
from shared.runtime import Runtime

MAX_RELEASED = 500  # cases of one person at once
MAX_PROBLEMS = 500

Person = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", description="The name of a person")]


class AvailabilityBody(Strict):
    """``away`` until an instant, or (without one) until said otherwise. ``release``: their open cases go to others."""

    away: bool = True
    until: Instant | None = None
    reason: Reason | None = None
    release: bool = False


class AvailabilityAnswer(Answer):
    """``released`` cases wait for others of their teams now; ``open_cases`` they still have."""

    person: str
    away: bool
    since: datetime | None = None
    until: datetime | None = None
    reason: str | None = None
    by: str | None = None
    open_cases: int = 0
    released: int = 0


class HeldAnswer(Answer):
    model_config = ConfigDict(frozen=True, from_attributes=True)

    case_id: UUID
    number: str | None
    assigned_at: datetime


class MemberAnswer(Answer):
    """A member now. ``cases``: of who is not there, the open ones that they have, oldest first."""

    person: str
    available: bool
    because: str
    back_at: datetime | None
    open_cases: int
    capacity: int | None
    skills: tuple[str, ...]
    languages: tuple[str, ...]
    cases: list[HeldAnswer]


class QueueAnswer(Answer):
    """Cases that wait for somebody with these skills and this language, and why nobody takes them."""

    skills: list[str]
    language: str | None
    cases: int
    oldest: datetime
    because: Because


class ProblemAnswer(Answer):
    """What is not as it should be, and what to do."""

    team: str
    kind: str
    text: str
    action: str


class TeamAvailability(Answer):
    team: str
    at: datetime
    available: int
    members: list[MemberAnswer]
    waiting: list[QueueAnswer]
    problems: list[ProblemAnswer]


class ProblemsAnswer(Answer):
    items: list[ProblemAnswer]


def routes(runtime: Runtime[CaseState], store: RoutingStore) -> APIRouter:
    router = APIRouter(tags=["teams"])

    @router.get("/v1/teams/{name}/availability", dependencies=[Depends(allow("read"))])
    async def availability(name: ResourceName) -> TeamAvailability:
        """Who of the team is there now, what each has, what waits, and what is wrong with it."""
        async with runtime.db.transaction() as tx:
            team = (await store.configuration.read(tx)).teams.get(name)
            if team is None:
                raise not_found("team", name)
            bench = await desks.bench(tx, name, team, runtime.clock.now())
            everybody = {*bench.load, *(member.person for member in team.members)}
            held = await desks.held(tx, everybody, name)
            queues = await desks.queues(tx, name)
        return _of(bench, held, queues)

    @router.get("/v1/problems/teams", dependencies=[Depends(allow("read"))])
    async def problems() -> ProblemsAnswer:
        """What is wrong in any team: nobody for what waits, open work of people who are away, cases that bounce."""
        found: list[ProblemAnswer] = []
        async with runtime.db.transaction() as tx:
            for name, team in sorted((await store.configuration.read(tx)).teams.items()):
                bench = await desks.bench(tx, name, team, runtime.clock.now())
                held = await desks.held(tx, bench.load, name) if bench.load else []
                found += _problems(bench, held, await desks.queues(tx, name) if team.staffed else [])
            for each in await desks.ping_pong(tx, PING_PONG):
                case = each.number or str(each.case_id)
                text = f"{case} came right back to a team {PING_PONG} times or more; {each.team} has it now"
                action = f"Settle whose it is: GET /v1/cases/{case}/custody. Rules move it no more."
                found.append(ProblemAnswer(team=each.team, kind="ping-pong", text=text, action=action))
        return ProblemsAnswer(items=found[:MAX_PROBLEMS])

    @router.get("/v1/members/{person}/availability", dependencies=[Depends(allow("read"))])
    async def get_availability(person: Person) -> AvailabilityAnswer:
        """Whether a person is away, from every team."""
        async with runtime.db.transaction() as tx:
            found = await desks.away(tx, [person], runtime.clock.now())
            held = await desks.held(tx, [person], most=MAX_RELEASED)
            teams = (await store.configuration.read(tx)).teams
        if not found and not held and not any(team.has(person) for team in teams.values()):
            raise not_found("member of a team", person)
        return _said(person, found, len(held), 0)

    @router.put("/v1/members/{person}/availability", responses=also(404))
    async def put_availability(
        person: Person, body: AvailabilityBody, who: Annotated[Principal, Depends(allow("cases:write"))]
    ) -> AvailabilityAnswer:
        """Say that a person of some team is away, or back."""
        async with runtime.unit() as work:
            if body.until is not None and body.until <= work.now:
                raise invalid("until has passed already. Give a later time, or leave it out.")
            teams = (await store.configuration.read(work.tx)).teams
            held = await desks.held(work.tx, [person], most=MAX_RELEASED)
            if not held and not any(team.has(person) for team in teams.values()):
                raise not_found("member of a team", person)
            if not body.away:
                await desks.come_back(work.tx, person)
                await audit.write(work.tx, who, Act("came back", "member", person), work.now)
                return _said(person, (), len(held), 0)
            gone = Away(person, work.now, body.until, body.reason, who.name)
            await desks.leave(work.tx, gone)
            act = Act("left", "member", person, body.reason, {"until": body.until, "release": body.release})
            await audit.write(work.tx, who, act, work.now)
            released = 0
            if body.release and held:
                await work.lock([each.case_id for each in held])
                reason = f"away: {body.reason}" if body.reason else "away"
                asked = [Input(h.case_id, Release(h.case_id, person, who.name, reason)) for h in held]
                released = sum(1 for decision in await work.apply(asked) if decision.events)
        return _said(person, [gone], len(held) - released, released)

    return router


def _said(person: str, found: Sequence[Away], held: int, released: int) -> AvailabilityAnswer:
    if not found:
        return AvailabilityAnswer(person=person, away=False, open_cases=held)
    away = found[0]
    return AvailabilityAnswer(
        person=person, away=True, since=away.since, until=away.until, reason=away.reason, by=away.by,
        open_cases=held, released=released,
    )  # fmt: skip


def _of(bench: Bench, held: Sequence[Held], queues: Sequence[Queue]) -> TeamAvailability:
    members = []
    for member in bench.team.members:
        now = presence(bench, member)
        theirs = [HeldAnswer.model_validate(each) for each in held if each.person == member.person and not now.here]
        members.append(
            MemberAnswer(
                person=now.person, available=now.free and not full(bench), because=now.because, back_at=now.back_at,
                open_cases=now.load, capacity=now.capacity, skills=(*bench.team.skills, *member.skills),
                languages=(*bench.team.languages, *member.languages), cases=theirs,
            )
        )  # fmt: skip
    waiting = [
        QueueAnswer(
            skills=sorted(each.needs.skills), language=each.needs.language, cases=each.cases, oldest=each.oldest,
            because=nobody(bench, each.needs),
        )
        for each in queues
    ]  # fmt: skip
    available = sum(1 for each in members if each.available)
    return TeamAvailability(
        team=bench.name, at=bench.now, available=available, members=members, waiting=waiting,
        problems=_problems(bench, held, queues),
    )  # fmt: skip


def _problems(bench: Bench, held: Sequence[Held], queues: Sequence[Queue]) -> list[ProblemAnswer]:
    found: list[ProblemAnswer] = []

    def say(kind: str, text: str, action: str) -> None:
        found.append(ProblemAnswer(team=bench.name, kind=kind, text=text, action=action))

    for each in queues:
        text = f"{nobody(bench, each.needs).text}; {each.cases} wait, the oldest since {each.oldest:%d %b %H:%M} UTC"
        say("nobody-available", text, "Bring somebody back, raise a capacity, or give the team a fallback.")
    now: dict[str, Presence] = {member.person: presence(bench, member) for member in bench.team.members}
    for person in sorted({each.person for each in held}):
        cases = [each for each in held if each.person == person]
        numbers = ", ".join(each.number or str(each.case_id) for each in cases[:5])
        if person not in now:
            say("no-member", f"{person} is no member any more and has open cases: {numbers}", "Hand them to others.")
        elif person in bench.away:
            say(
                "away-with-work", f"{person} is {now[person].because} and has open cases: {numbers}",
                f'Hand them to others, or all at once: PUT /v1/members/{person}/availability with "release": true.',
            )  # fmt: skip
    return found
