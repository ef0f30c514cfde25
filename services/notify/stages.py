"""What a message passes between being due and being sent: a tuple of pure functions over one frozen value.

Each stage may end the message (``suppressed``), make it wait (``held``), or change what it may say. A stage looks
only at the value. New ones (grouping, throttling) join the tuple.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.notify.model import QUIET, CaseState, Clock, Delivery, Page, Purpose, Silence
from services.notify.model.silences import Effect
from services.notify.model.specs import On
from services.notify.oncall.opening import opening
from services.notify.oncall.targets import named


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait until ``until``. ``silence`` is the one that asks for it."""

    until: datetime
    reason: str
    silence: UUID | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message on its way. ``clock`` is what it is about now; None where nothing calls for it any more."""

    delivery: Delivery
    page: Page
    clock: Clock | None
    case_id: UUID
    silences: tuple[Silence, ...]
    wants_words: bool  # whether the reader may see the customer's words
    now: datetime
    tags: tuple[str, ...] = ()  # of the case
    suppressed: str | None = None
    silenced_by: UUID | None = None  # the silence that suppressed it
    held: Hold | None = None
    words: bool = True


Stage = Callable[[Outgoing], Outgoing]


def outgoing(state: CaseState, delivery: Delivery, now: datetime) -> Outgoing:
    """Put together what the stages look at. Raises ``LookupError`` where the case never had a page."""
    page = state.page
    if page is None:
        raise LookupError(f"delivery {delivery.id} has no page")
    kind, _, name = delivery.target.partition(":")
    spec = named(state.configuration, name) if kind == "destination" else None
    about = state.clocks.get(delivery.clock_id)
    if delivery.purpose == Purpose.CALL:
        calling = [c for i in page.clocks if (c := state.clocks.get(i)) and c.calls(delivery.on)]
        if about not in calling:
            about = min(calling, key=_urgency, default=None)
    elif delivery.purpose == Purpose.UPDATE:  # the worst of it, or what it was about where all is over
        open_ = [c for i in page.clocks if (c := state.clocks.get(i)) and c.calls(On.WARNED)]
        about = min(open_, key=_urgency, default=about)
    wants_words = spec.excerpt if spec is not None else True
    tags = state.facts.summary.tags if state.facts.summary is not None else ()
    return Outgoing(delivery, page, about, state.case_id, state.silences, wants_words, now, tags)


def _urgency(clock: Clock) -> tuple[bool, datetime, str]:
    return clock.breached_at is None, clock.breached_at or clock.due_at or clock.started_at, str(clock.id)


def run(message: Outgoing) -> Outgoing:
    """Pass the stages in order; a message that is suppressed or held goes no further."""
    for stage in STAGES:
        message = stage(message)
        if message.suppressed or message.held:
            break
    return message


def recovered(message: Outgoing) -> Outgoing:
    """Nothing is said about what is over, but that it is."""
    if message.delivery.purpose in QUIET and message.page.id != message.delivery.page_id:
        return replace(message, suppressed="A newer page of the case says more")
    if message.delivery.purpose != Purpose.CALL:
        return message
    if not message.page.live or message.page.id != message.delivery.page_id or message.clock is None:
        return replace(message, suppressed="Recovered before it was sent: nothing calls for attention any more")
    return message


def mute(message: Outgoing) -> Outgoing:
    """A silence makes it wait until the silence ends, of several the one that ends last; or it is never sent."""
    if message.delivery.purpose in QUIET:
        return message
    found = [(each, until) for each in message.silences if covers(each, message) and (until := over(each, message.now))]
    if not found:
        return message
    last, until = max(found, key=lambda each: (each[0].effect == Effect.SUPPRESS, each[1], str(each[0].id)))
    if last.effect == Effect.SUPPRESS:
        why = f"Silenced by {last.author}: {last.reason}"
        return replace(message, suppressed=why, silenced_by=last.id)
    return replace(message, held=Hold(until, f"Silenced by {last.author}: {last.reason}", last.id))


def over(silence: Silence, now: datetime) -> datetime | None:
    """Until when a silence is in force without a break; None where it is not."""
    if not silence.start <= now < silence.end:
        return None
    if silence.during is None:
        return silence.end
    hours = opening(silence.during, now)
    return min(silence.end, hours[1]) if hours is not None and hours[0] <= now else None


def covers(silence: Silence, message: Outgoing) -> bool:
    """Whether a message is in the scope of a silence: all that it names matches."""
    kind, _, name = message.delivery.target.partition(":")
    return (
        silence.team in (None, message.page.team)
        and silence.case_id in (None, message.case_id)
        and (silence.destination is None or (kind, name) == ("destination", silence.destination))
        and (silence.person is None or (kind, name) == ("person", silence.person))
        and (silence.metric is None or (message.clock is not None and message.clock.metric == silence.metric))
        and (silence.tag is None or silence.tag in message.tags)
    )


def excerpt(message: Outgoing) -> Outgoing:
    """A destination may keep the customer's words out."""
    return message if message.wants_words else replace(message, words=False)


STAGES: tuple[Stage, ...] = (recovered, mute, excerpt)
