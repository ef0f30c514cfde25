"""The labelled lines of a message: when it was due, why it came here, why you, who has it, who is next. Pure."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime

from services.notify import oncall
from services.notify.message.times import Reader, due, when
from services.notify.model import CATCH_ALL, METRICS, CaseState, Clock, Delivery, Purpose
from services.notify.model.plan import timers
from services.notify.model.specs import On
from services.notify.oncall.targets import person_title, resolve, title
from shared.contracts import duration
from shared.contracts.clocks import CaseSummary
from shared.contracts.envelope import Because
from shared.contracts.words import ClockState, DeliveryState, Metric, PageState

MAX_REASON = 300  # characters
MAX_OTHERS = 3  # other promises of the case that are named

_UNDIRECTED = str.maketrans("", "", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_GIVEN = frozenset({Metric.FIRST_REPLY, Metric.NEXT_REPLY, Metric.UPDATE})


def cut(text: str, limit: int) -> str:
    """The customer's words on one line, without control or direction characters, at most ``limit`` characters."""
    if not text.isprintable():  # most text is, and costs nothing more
        text = "".join(" " if unicodedata.category(c) == "Cc" else c for c in text).translate(_UNDIRECTED)
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def what(clock: Clock, purpose: Purpose, now: datetime) -> str:
    """``first reply 5 min late``"""
    name = METRICS[clock.metric]
    if purpose == Purpose.WITHDRAWN or clock.ended == ClockState.WITHDRAWN:
        return f"{name} was in time after all"
    if clock.ended == ClockState.MET:
        done = "given" if clock.metric in _GIVEN else "done"
        if clock.breached_at is None:
            return f"{name} {done} in time"
        at = max(clock.ended_at or now, clock.breached_at)
        return f"{name} {done} {duration.words(at - clock.breached_at)} late"
    if clock.ended is not None:
        return f"{name} no longer owed"
    if clock.breached_at is not None:
        return f"{name} {duration.words(max(now, clock.breached_at) - clock.breached_at)} late"
    if clock.due_at is None:
        return f"{name} at risk"
    return f"{name} due in {duration.words(clock.due_at - now)}" if clock.due_at > now else f"{name} due now"


def fields(
    state: CaseState, delivery: Delivery, clock: Clock, summary: CaseSummary, reader: Reader, now: datetime
) -> list[tuple[str, str]]:
    if delivery.purpose == Purpose.WITHDRAWN:
        why = cut(clock.ended_because or "A reply that was in time arrived late", MAX_REASON)
        return [("Withdrawn", f"the earlier message about {summary.number} was wrong, nothing is owed"), ("Why", why)]
    page = state.page
    if page is None:
        raise LookupError(f"case {state.case_id} has no page")
    found = [("Due", due(clock, reader, now))]
    if page.live and (others := _others(state, clock, now)):
        found.append(("Also", others))
    if summary.routed is not None:
        found.append(("Routed", _routed(summary.routed)))
    if delivery.purpose == Purpose.CALL and (you := _you(state, delivery, reader, now)):
        found.append(("You", you))
    found += standing(state, clock, reader, now)
    if delivery.target == CATCH_ALL and page.state != PageState.ACKNOWLEDGED:
        found.append(("Why", cut(_why_nowhere(state, delivery), MAX_REASON)))
    if page.state == PageState.OPEN and (upcoming := _next(state, reader, now)):
        found.append(("Next", upcoming))
    return found


def standing(state: CaseState, clock: Clock | None, reader: Reader, now: datetime) -> list[tuple[str, str]]:
    """What has become of the page: ``Acknowledged`` ``by Ana 03:09; pages again 03:39 without a reply.``"""
    page = state.page
    if page is None:
        return []
    found = []
    if page.state == PageState.ACKNOWLEDGED and page.acknowledged_at is not None:
        who = person_title(state.configuration, page.acknowledged_by or "somebody")
        ahead = sorted(each.due_at for each in timers(page).values())
        again = f"; pages again {when(ahead[0], reader, now)} without a reply" if ahead else ""
        if page.snoozed_until is not None:
            found.append(("Snoozed", f"by {who} {when(page.acknowledged_at, reader, now)}{again}."))
        else:
            found.append(("Acknowledged", f"by {who} {when(page.acknowledged_at, reader, now)}{again}."))
    elif page.state == PageState.RESOLVED and page.resolved_at is not None:
        at = when(page.resolved_at, reader, now)
        if page.resolved_by is not None:
            found.append(("Resolved", f"by {person_title(state.configuration, page.resolved_by)} {at}."))
        elif state.facts.merged_into is not None:
            found.append(("Resolved", f"{at}: the case was merged into {state.facts.merged_into}."))
        else:
            why = cut((clock.ended_because if clock else None) or "nothing is left to do", MAX_REASON)
            found.append(("Resolved", f"{at}: {why}"))
    if page.live and page.handover_to is not None and page.handover_to != page.team:
        found.append(("Hand-over", f"to team {page.handover_to} was asked for."))
    return found


def _routed(because: Because) -> str:
    """``by enterprise-payouts: tier is enterprise``"""
    rule, text = because.facts.get("rule"), cut(because.text, MAX_REASON).rstrip(".")
    return f"by {text}" if isinstance(rule, str) and text.startswith(rule) else text


def _others(state: CaseState, clock: Clock, now: datetime) -> str:
    page = state.page
    others = [
        c
        for i in (page.clocks if page else ())
        if i != clock.id and (c := state.clocks.get(i)) is not None and c.calls(On.WARNED)
    ]
    others.sort(key=lambda c: (c.breached_at or c.due_at or c.started_at, str(c.id)))
    return "; ".join(what(c, Purpose.CALL, now) for c in others[:MAX_OTHERS])


def _you(state: CaseState, delivery: Delivery, reader: Reader, now: datetime) -> str:
    """Why this person, and who did not take it before."""
    kind, _, name = delivery.target.partition(":")
    if kind != "person":
        return ""
    via_kind, _, via = (delivery.via or "").partition(":")
    reason = "are named in the escalation policy"
    if via_kind == "schedule" and (rota := state.configuration.schedules.get(via)) is not None:
        shifts = [s for s in oncall.on_call(rota.schedule, rota.overrides, now) if s.person == name]
        reason = f"are on call until {when(shifts[0].end, reader, now)}" if shifts else f"were on call for {via}"
    told = {each.target for each in state.deliveries.values() if _told_before(each, delivery)}
    places = [title(state.configuration, key) for key in sorted(told) if key.startswith("destination:")]
    people = [title(state.configuration, key) for key in sorted(told) if key.startswith("person:")]
    silent = [f"nobody acknowledged in {_and(places)}"] if places else []
    silent += [f"{_and(people)} did not acknowledge"] if people else []
    return "; ".join([reason, *silent])


def _told_before(each: Delivery, now: Delivery) -> bool:
    return (
        each.page_id == now.page_id
        and each.cycle == now.cycle
        and each.purpose == Purpose.CALL
        and each.state == DeliveryState.SENT
        and each.target != now.target
    )


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _why_nowhere(state: CaseState, delivery: Delivery) -> str:
    page = state.page
    if delivery.cause.startswith("exhausted"):
        return "every step ran and nobody acknowledged"
    return page.troubles[-1] if page and page.troubles else "nobody else could be told"


def _next(state: CaseState, reader: Reader, now: datetime) -> str:
    """``Li at 03:13``"""
    page = state.page
    coming = sorted(timers(page).values(), key=lambda t: (t.due_at, t.step))
    if page is None or not coming:
        return ""
    step, at = coming[0].step, coming[0].due_at
    moment = when(at, reader, now)
    if step == "exhaust":
        return f"the catch-all at {moment}"
    if not step.startswith("step:"):
        return f"pages again at {moment}"
    targets, _ = resolve(state.configuration, page.policy.spec.steps[int(step.split(":")[1])].notify, at)
    names = [title(state.configuration, each.key) for each in targets]
    return f"{_and(names)} at {moment}" if names else f"nobody can be reached at {moment}"
