"""What people do with a page: each act may come twice, the second changes nothing. Pure."""

from services.notify.decide.draft import Draft
from services.notify.decide.escalate import begin_anew, resolve_page
from services.notify.decide.steps import advance
from services.notify.model.commands import Acknowledge, Act, HandOver, Resolve, Snooze, TakeOver, Unsnooze
from services.notify.oncall.targets import person_title
from shared.contracts.pages import HandoverAsked, PageAcknowledged
from shared.contracts.words import PageState


def act(d: Draft, asked: Act) -> None:
    """Decide about what somebody asked of the page that stands."""
    page = d.state.page
    if page is None or page.id != asked.page_id or not page.live:
        d.say("The page is over.")
        return
    who = person_title(d.state.configuration, asked.by)
    match asked:
        case Acknowledge():
            _acknowledge(d, asked, who)
        case TakeOver():
            _take_over(d, asked, who)
        case Resolve():
            resolve_page(d, f"{who} resolved the page.", by=asked.by, via=asked.via, origin=asked.origin)
        case Snooze():
            _snooze(d, asked, who)
        case Unsnooze():
            _unsnooze(d, asked, who)
        case HandOver():
            _hand_over(d, asked, who)


def _write(d: Draft, kind: str, asked: Act) -> None:
    d.write(kind, by=asked.by, via=asked.via, origin=asked.origin)


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _acknowledge(d: Draft, asked: Act, who: str) -> None:
    page = d.page
    if page.state == PageState.ACKNOWLEDGED:
        d.say(f"{person_title(d.state.configuration, page.acknowledged_by or '')} has it already.")
        return
    d.say(f"{who} acknowledged the page: its steps stop.")
    d.suppress(f"{who} acknowledged the page before it was sent")
    d.set_page(
        state=PageState.ACKNOWLEDGED,
        version=page.version + 1,
        acknowledged_by=asked.by,
        acknowledged_at=d.now,
        holds=(),
    )
    _expect_a_reply(d)
    _write(d, "acknowledged", asked)
    d.emit(PageAcknowledged, by=asked.by)


def _expect_a_reply(d: Draft) -> None:
    """Without one the page calls again after the time that its policy sets."""
    patience = d.page.policy.spec.patience
    waits = patience is not None and d.page.answered_at is None
    d.set_page(reopens_at=d.now + patience if patience is not None and waits else None)


def _take_over(d: Draft, asked: TakeOver, who: str) -> None:
    page = d.page
    if page.state != PageState.ACKNOWLEDGED:
        _acknowledge(d, asked, who)
        return
    if page.acknowledged_by == asked.by:
        d.say(f"{who} has it already.")
        return
    before = person_title(d.state.configuration, page.acknowledged_by or "somebody")
    d.set_page(acknowledged_by=asked.by, acknowledged_at=d.now, version=page.version + 1)
    if page.snoozed_until is None:
        _expect_a_reply(d)
    d.say(f"{who} took the page over from {before}{_because(asked.reason)}.")
    _write(d, "taken_over", asked)
    d.emit(PageAcknowledged, by=asked.by)


def _snooze(d: Draft, asked: Snooze, who: str) -> None:
    if d.page.snoozed_until == asked.until:
        d.say("It is snoozed until then already.")
        return
    if asked.until <= d.now:
        d.say("The time until which it should be snoozed has passed.")
        return
    _acknowledge(d, asked, who)
    d.set_page(
        snoozed_until=asked.until,
        snoozed_by=asked.by,
        snoozed_at=d.now if d.page.snoozed_at is None else d.page.snoozed_at,
        reopens_at=asked.until,
        version=d.page.version + 1,
    )
    d.say(f"{who} snoozed the page{_because(asked.reason)}.", until=asked.until.isoformat())
    _write(d, "snoozed", asked)


def _unsnooze(d: Draft, asked: Unsnooze, who: str) -> None:
    """Back to what it was before: acknowledged, where somebody had done that; else open, its steps from the first."""
    page = d.page
    if page.snoozed_until is None:
        d.say("The page is not snoozed.")
        return
    d.say(f"{who} took the snooze back{_because(asked.reason)}.")
    if page.acknowledged_at is not None and page.snoozed_at is not None and page.acknowledged_at < page.snoozed_at:
        d.set_page(snoozed_until=None, snoozed_by=None, snoozed_at=None, version=page.version + 1)
        _expect_a_reply(d)
        _write(d, "unsnoozed", asked)
        return
    begin_anew(d, d.now)
    _write(d, "unsnoozed", asked)
    advance(d)


def _hand_over(d: Draft, asked: HandOver, who: str) -> None:
    if d.page.handover_to == asked.to_team:
        d.say(f"Routing was asked already to hand the case to team {asked.to_team}.")
        return
    d.set_page(handover_to=asked.to_team)
    d.say(f"{who} asked to hand the case to team {asked.to_team}: {asked.reason}", team=asked.to_team)
    _write(d, "handover_asked", asked)
    d.emit(HandoverAsked, to_team=asked.to_team, by=asked.by, reason=asked.reason)
