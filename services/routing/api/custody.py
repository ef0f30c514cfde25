"""Who held a case from when to when; and the issues elsewhere that it waits for."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import ConfigDict, StringConstraints

from services.routing.api.assignments import not_yet
from services.routing.api.shapes import Line
from services.routing.custody import custody
from services.routing.model import PING_PONG, CaseState
from services.routing.model.commands import Issue, LinkIssue
from services.routing.store import assignment, issues
from services.routing.store import case_id as named_case
from shared import audit
from shared.audit import Act
from shared.auth import Principal
from shared.batch import Input
from shared.contracts.envelope import Because
from shared.db import Tx
from shared.errors import conflict, not_found
from shared.http import Answer, CaseName, Strict, allow, case_named
from shared.openapi import also
from shared.runtime import Runtime

MAX_ISSUES = 50  # of one case

Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s\x00]+$", max_length=2_000)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class IssueBody(Strict):
    """An issue elsewhere, named by its URL; ``status`` in the words of its tracker, such as ``open`` or ``done``."""

    url: Url
    status: Word = "open"
    title: Line | None = None


class IssueAnswer(Answer):
    model_config = ConfigDict(frozen=True, from_attributes=True)

    url: str
    status: str
    title: str | None
    by: str
    updated_at: datetime


class IssuesAnswer(Answer):
    """The issues of a case, the last that changed first; ``team`` has the case now."""

    case_id: UUID
    team: str
    items: list[IssueAnswer]


class SpellAnswer(Answer):
    """``until`` is null for whoever has it now."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    team: str
    person: str | None
    since: datetime
    until: datetime | None
    by: str
    reason: str | None
    because: Because


class PingPongAnswer(Answer):
    """Hand-offs that gave the case right back; ``flagged`` from ``limit`` on, and then rules move it no more."""

    returns: int
    limit: int
    between: tuple[str, ...]
    flagged: bool


class CustodyAnswer(Answer):
    """Oldest first."""

    case_id: UUID
    held: list[SpellAnswer]
    hand_offs: int
    ping_pong: PingPongAnswer
    linked_issues: list[IssueAnswer]


def routes(runtime: Runtime[CaseState]) -> APIRouter:
    router = APIRouter(tags=["assignments"])

    @router.get("/v1/cases/{case_id}/custody", dependencies=[Depends(allow("read"))])
    async def get_custody(case_id: CaseName) -> CustodyAnswer:
        """Who held the case from when to when, and why."""
        named = case_named(case_id)
        async with runtime.db.transaction() as tx:
            known = await named_case(tx, named)
            found = await assignment(tx, known) if known else None
            if found is None:
                raise not_yet(named)
            linked = await issues.of_case(tx, found.case_id)
        held = custody(found.history)
        return CustodyAnswer(
            case_id=found.case_id,
            held=[SpellAnswer.model_validate(each) for each in held.spells],
            hand_offs=held.hand_offs,
            ping_pong=PingPongAnswer(returns=held.returns, limit=PING_PONG, between=held.between, flagged=held.flagged),
            linked_issues=[IssueAnswer.model_validate(each) for each in linked],
        )

    @router.get("/v1/cases/{case_id}/linked-issues", dependencies=[Depends(allow("read"))])
    async def get_issues(case_id: CaseName) -> IssuesAnswer:
        async with runtime.db.transaction() as tx:
            return await _issues(tx, case_named(case_id))

    @router.put("/v1/cases/{case_id}/linked-issues", responses=also(404, 409))
    async def put_issue(
        case_id: CaseName, body: IssueBody, who: Annotated[Principal, Depends(allow("cases:write"))]
    ) -> IssuesAnswer:
        """Link an issue, or say its new status. Hand-off rules see it, as an activity of kind ``issue_updated``."""
        named = case_named(case_id)
        async with runtime.unit() as work:
            known = (await _issues(work.tx, named)).case_id
            await work.lock([known])
            standing = await issues.of_case(work.tx, known)
            if len(standing) >= MAX_ISSUES and body.url not in {each.url for each in standing}:
                raise conflict("too-many", f"The case has {MAX_ISSUES} linked issues, which is the limit. Unlink some.")
            issue = Issue(body.url, body.status, body.title, who.name, work.now)
            if all((each.url, each.status, each.title) != (issue.url, issue.status, issue.title) for each in standing):
                await work.apply([Input(known, LinkIssue(known, issue))])
                act = Act("linked", "case", str(known), facts={"url": body.url, "status": body.status})
                await audit.write(work.tx, who, act, work.now)
            return await _issues(work.tx, known)

    @router.delete("/v1/cases/{case_id}/linked-issues", status_code=204)
    async def delete_issue(
        case_id: CaseName,
        url: Annotated[str, Query(max_length=2_000, pattern=r"^[^\x00]*$")],
        who: Annotated[Principal, Depends(allow("cases:write"))],
    ) -> None:
        named = case_named(case_id)
        async with runtime.db.transaction() as tx:
            known = await named_case(tx, named)
            if known is None or not await issues.unlink(tx, known, url):
                raise not_found("linked issue", url[:200])
            await audit.write(tx, who, Act("unlinked", "case", str(known), facts={"url": url}), runtime.clock.now())

    return router


async def _issues(tx: Tx, named: UUID | str) -> IssuesAnswer:
    known = await named_case(tx, named)
    found = await assignment(tx, known) if known else None
    if found is None:
        raise not_yet(named)
    items = [IssueAnswer.model_validate(each) for each in await issues.of_case(tx, found.case_id)]
    return IssuesAnswer(case_id=found.case_id, team=found.assignment.team, items=items)
