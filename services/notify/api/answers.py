"""How pages and deliveries look to a reader."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row

from services.notify.decide.lanes import TRIP
from services.notify.model import Clock, Page
from services.notify.model.plan import timers
from services.notify.store.reads import StoredPage
from shared.contracts.envelope import Because
from shared.contracts.words import ClockState, DeliveryState, Metric, PageState
from shared.db import from_json
from shared.http import Answer


class HeldAnswer(Answer):
    """A step that waits, why, and until when; ``step`` counts from 1, null is the whole page."""

    step: int | None
    until: datetime
    why: str


class PageAnswer(Answer):
    """``reopens_at``: it pages again then, because a snooze ends, or an acknowledgement led to no reply."""

    id: UUID
    case_id: UUID
    case_number: str | None
    clocks: list[UUID]
    state: PageState
    opened_at: datetime
    team: str | None
    escalation_policy: str
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    snoozed_until: datetime | None
    reopens_at: datetime | None
    held: list[HeldAnswer]
    resolved_by: str | None
    resolved_at: datetime | None
    troubles: list[str]
    because: Because


class PromiseAnswer(Answer):
    """A clock of a page."""

    id: UUID
    metric: Metric
    due_at: datetime | None
    warned_at: datetime | None
    breached_at: datetime | None
    ended: ClockState | None
    ended_at: datetime | None


class LineAnswer(Answer):
    """One line of a page's history: ``by`` whom, ``via`` what, and from where (``origin``), if somebody acted."""

    at: datetime
    kind: str
    by: str | None
    via: str | None
    origin: str | None
    because: Because
    deliveries: list[UUID]


class AttemptAnswer(Answer):
    number: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    detail: str | None


class DeliveryAnswer(Answer):
    """``until``: not before then, where it waits. ``lost``: answers that never came; each may have arrived."""

    id: UUID
    page_id: UUID
    case_id: UUID
    case_number: str | None
    target: str
    via: str | None
    way: str
    lane: str
    purpose: str
    state: DeliveryState
    reason: str | None
    until: datetime | None
    lost: int
    created_at: datetime
    sent_at: datetime | None
    receipt: str | None
    digest_id: UUID | None  # the digest that names it
    attempts: list[AttemptAnswer]


class LaneAnswer(Answer):
    """One address that messages go to. ``breaker``: open after failures in a row, half_open while one message tries."""

    name: str
    per_second: float
    burst: int
    at_once: int  # how many may be on their way
    tokens: int  # how many may leave now
    waiting: int
    oldest: datetime | None  # of those that wait
    on_their_way: int
    breaker: Literal["closed", "open", "half_open"]
    failures: int  # in a row
    blocked_until: datetime | None
    reason: str | None  # why it is blocked


class ComingAnswer(Answer):
    """What is to come as things stand: a step and its round, counted from 1, or the end of all steps."""

    what: str
    step: int | None
    round: int | None
    at: datetime


class WholePage(PageAnswer):
    coming: list[ComingAnswer]
    promises: list[PromiseAnswer]
    history: list[LineAnswer]
    deliveries: list[DeliveryAnswer]


def page(stored: StoredPage) -> PageAnswer:
    return PageAnswer(**_page(stored))


def whole_page(
    stored: StoredPage, clocks: Sequence[Clock], history: Sequence[Row[Any]], deliveries: list[DeliveryAnswer]
) -> WholePage:
    return WholePage(
        **_page(stored),
        coming=_coming(stored.page),
        promises=[PromiseAnswer(**{name: getattr(c, name) for name in PromiseAnswer.model_fields}) for c in clocks],
        history=[_line(row) for row in history],
        deliveries=deliveries,
    )


def _page(stored: StoredPage) -> dict[str, Any]:
    page = stored.page
    same = ("id", "clocks", "state", "opened_at", "team", "acknowledged_by", "acknowledged_at", "snoozed_until")
    more = ("reopens_at", "resolved_by", "resolved_at", "troubles", "because")
    return {
        "case_id": stored.case_id,
        "case_number": stored.case_number,
        "escalation_policy": page.policy.name,
        "held": _held(page),
        **{name: getattr(page, name) for name in (*same, *more)},
    }


def _held(page: Page) -> list[HeldAnswer]:
    found = [HeldAnswer(step=each.step + 1, until=each.until, why=each.why) for each in page.holds]
    if page.state == PageState.OPEN and page.begins is not None and not any(page.rounds):
        return [HeldAnswer(step=None, until=page.begins, why=page.begins_because or ""), *found]
    return found


def _coming(page: Page) -> list[ComingAnswer]:
    found = []
    for timer in sorted(timers(page).values(), key=lambda each: (each.due_at, each.step)):
        what, _, rest = timer.step.partition(":")
        step, round_ = (int(part) + 1 for part in rest.split(":")) if rest else (None, None)
        found.append(ComingAnswer(what=what, step=step, round=round_, at=timer.due_at))
    return found


def _line(row: Row[Any]) -> LineAnswer:
    return LineAnswer(
        at=row.at,
        kind=row.kind,
        by=row.by,
        via=row.via,
        origin=row.origin,
        because=Because.model_validate(from_json(row.because)),
        deliveries=from_json(row.deliveries),
    )


def delivery(row: Row[Any], attempts: Sequence[Row[Any]]) -> DeliveryAnswer:
    waits = row.shown in (DeliveryState.QUEUED, DeliveryState.HELD, DeliveryState.UNKNOWN)
    until, reason = row.until + timedelta(seconds=row.ahead / row.rate), row.shown_reason
    if row.shown == DeliveryState.HELD and reason is None:
        reason = f"{row.lane} takes {row.rate:g} a second: {row.ahead or 'no'} messages go first"
    shown = {"state": row.shown, "reason": reason, "until": until if waits else None}
    tries = [AttemptAnswer(**{name: getattr(each, name) for name in AttemptAnswer.model_fields}) for each in attempts]
    same = [name for name in DeliveryAnswer.model_fields if name not in shown and name != "attempts"]
    return DeliveryAnswer(**{name: getattr(row, name) for name in same}, **shown, attempts=tries)


def lane(row: Row[Any], now: datetime) -> LaneAnswer:
    blocked, broken = row.blocked_until > now, row.failures >= TRIP
    return LaneAnswer(
        name=row.name,
        per_second=row.rate,
        burst=row.burst,
        at_once=row.width,
        tokens=max(0, int(row.tokens)),
        waiting=row.waiting,
        oldest=row.oldest,
        on_their_way=row.busy,
        breaker=("open" if blocked else "half_open") if broken else "closed",
        failures=row.failures,
        blocked_until=row.blocked_until if blocked else None,
        reason=row.blocked_reason if blocked or broken else None,
    )
