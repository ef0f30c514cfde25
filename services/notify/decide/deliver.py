"""What becomes of one delivery: claimed, sent, tried again, given up for the next way or target. Pure."""

from dataclasses import replace
from datetime import timedelta

from services.notify import stages
from services.notify.decide.draft import Draft, unsent
from services.notify.decide.follow import catch_up
from services.notify.decide.lanes import PATIENCE
from services.notify.decide.steps import forward, next_on_call, nowhere
from services.notify.decide.telling import Ask, other_way, send
from services.notify.model import CATCH_ALL, METRICS, QUIET, Attempt, Block, Delivery, Purpose, Target, Way
from services.notify.model.commands import Claim, Outcome, Overdue, Recorded, Retry, Unmute, Wait
from services.notify.model.specs import On
from services.notify.oncall.targets import again, title
from shared.contracts.identity import derived, derived_share
from shared.contracts.pages import PageFailed, PageSent
from shared.contracts.words import ClockState, DeliveryState, PageState

FIRST_BACKOFF = timedelta(seconds=1)  # doubles with each try
LONGEST_BACKOFF = timedelta(minutes=1)
MAX_TRIES = 8  # about two minutes
GIVE_UP_AFTER = timedelta(minutes=5)  # also where a provider only asks us to wait
QUIET_GIVES_UP_AFTER = timedelta(hours=1)  # nobody waits for it, and no step comes in its place


def claim(d: Draft, asked: Claim) -> None:
    """The sender is about to send: still wanted, not silenced, still reachable?"""
    delivery = d.state.deliveries.get(asked.delivery_id)
    if delivery is None or not unsent(delivery) or delivery.next_at > d.now:
        d.say("The delivery is over or not due.")
        return
    if delivery.claimed_until is not None and delivery.claimed_until > d.now:
        d.say("The delivery is being sent already.")
        return
    if delivery.token is not None:  # the claim before this one never came back
        delivery = _lost(d, delivery, "the sender stopped before it recorded the answer")
        if not unsent(delivery):
            return
    message = stages.run(stages.outgoing(d.state, delivery, d.now))
    if message.suppressed or message.clock is None:
        d.say(f"{message.suppressed or 'Nothing calls for it any more'}.")
        silenced_by = message.silenced_by or delivery.silenced_by
        d.put([replace(delivery, token=None, claimed_until=None, silenced_by=silenced_by)])
        d.suppress(message.suppressed or "Nothing calls for it any more", [d.state.deliveries[delivery.id]])
    elif message.held is not None:
        d.say(f"{message.held.reason}.")
        muted_by = message.held.silence
        muted = replace(delivery, muted_by=muted_by, silenced_by=muted_by or delivery.silenced_by)
        _waits(d, muted, DeliveryState.HELD, message.held.reason, message.held.until - d.now)
    else:
        _take(d, delivery, asked, message)


def _take(d: Draft, delivery: Delivery, asked: Claim, message: stages.Outgoing) -> None:
    target = again(d.state.configuration, delivery.target)
    ways = () if isinstance(target, str) else target.ways
    if not any(way.kind == delivery.way for way in ways):
        why = target if isinstance(target, str) else f"{delivery.target} is not reached by {delivery.way} any more"
        d.put([delivery])
        _fail(d, delivery, why)
        return
    number = delivery.attempts + 1
    attempt = Attempt(delivery.id, number, asked.token, d.now)
    d.state = replace(d.state, tries={**d.state.tries, (delivery.id, number): attempt})
    clock_id = message.clock.id if message.clock else delivery.clock_id
    began = d.now if delivery.since is None or delivery.muted_by else delivery.since
    taken = replace(delivery, clock_id=clock_id, attempts=number, token=asked.token, claimed_until=asked.until)
    taken = replace(taken, digest_id=asked.digest_id)
    d.put([replace(taken, since=began, muted_by=None)])
    d.say(f"Sending to {title(d.state.configuration, delivery.target)} by {delivery.way}.")


def recorded(d: Draft, answer: Recorded) -> None:
    """The sender came back with an answer, or without one."""
    delivery = d.state.deliveries.get(answer.delivery_id)
    if delivery is None or delivery.token != answer.token:
        d.say("The claim had run out, so this answer is not counted.")
        return
    outcome = answer.outcome
    _note(d, delivery, "found" if outcome.copies == 1 else outcome.kind, outcome.detail)
    lost = delivery.lost + (outcome.kind == "lost")  # counted also where nothing calls for it any more: it may be there
    delivery = replace(delivery, token=None, claimed_until=None, lost=lost)
    d.put([delivery])
    if outcome.retry_after is not None and outcome.kind == "later":
        d.block(delivery.lane, Block(d.now + outcome.retry_after, outcome.detail))
    if outcome.trouble is not None and d.page.id == delivery.page_id:
        d.trouble(outcome.trouble)
    if outcome.kind == "sent":
        _sent(d, delivery, outcome)
    elif not unsent(delivery):
        d.say(f"It was {delivery.state} while it was being sent, and stays so: {delivery.reason}.")
    elif outcome.kind == "refused":
        _fail(d, delivery, outcome.detail)
    elif outcome.kind == "lost":
        _again(d, delivery, outcome, DeliveryState.UNKNOWN)
    else:
        _again(d, delivery, outcome, DeliveryState.HELD)


def _note(d: Draft, delivery: Delivery, outcome: str, detail: str) -> None:
    """Close the attempt that is out."""
    key = (delivery.id, delivery.attempts)
    open_ = d.state.tries.get(key)
    token = delivery.token or derived(delivery.id, delivery.attempts)
    attempt = open_ or Attempt(delivery.id, delivery.attempts, token, d.now)
    closed = replace(attempt, ended_at=d.now, outcome=outcome, detail=detail)
    d.state = replace(d.state, tries={**d.state.tries, key: closed})


def _lost(d: Draft, delivery: Delivery, why: str) -> Delivery:
    """A claim ran out without an answer: the message may have arrived. It is sent again with the same key."""
    _note(d, delivery, "lost", why)
    delivery = replace(
        delivery,
        token=None,
        claimed_until=None,
        lost=delivery.lost + 1,
        tries=delivery.tries + 1,
        state=DeliveryState.UNKNOWN,
        reason=f"The answer was lost ({why}); it is sent again with the same key, and may arrive twice",
    )
    d.put([delivery])
    if delivery.tries >= MAX_TRIES:
        _fail(d, delivery, f"the answer was lost {delivery.lost} times; it may have arrived")
        return d.state.deliveries[delivery.id]
    return delivery


def _sent(d: Draft, delivery: Delivery, outcome: Outcome) -> None:
    sent = replace(delivery, state=DeliveryState.SENT, sent_at=d.now, receipt=outcome.receipt, reason=None)
    d.put([sent])
    d.say(f"{title(d.state.configuration, sent.target)} was told by {sent.way}.", attempts=sent.attempts)
    if d.page.id == sent.page_id and sent.purpose not in QUIET:
        d.emit(PageSent, delivery_id=sent.id, target=sent.target)
        correct(d)
        catch_up(d, sent)


def _again(d: Draft, delivery: Delivery, outcome: Outcome, state: DeliveryState) -> None:
    """Try later: after what the provider asks for, or a doubling pause with jitter; or give up."""
    tries = delivery.tries + (outcome.retry_after is None)
    wait = outcome.retry_after if outcome.retry_after is not None else backoff(delivery, tries)
    quiet = delivery.purpose in QUIET
    give_up = (delivery.since or d.now) + (QUIET_GIVES_UP_AFTER if quiet else GIVE_UP_AFTER)
    if (tries >= MAX_TRIES and not quiet) or d.now + wait > give_up:
        perhaps = "; it may have arrived" if delivery.lost else ""
        d.put([delivery])
        _fail(d, delivery, f"{outcome.detail}, after {delivery.attempts} attempts{perhaps}")
        return
    lost = "; it may have arrived, and is sent again with the same key" if state == DeliveryState.UNKNOWN else ""
    _waits(d, replace(delivery, tries=tries), state, f"{outcome.detail}{lost}", wait)
    d.say(f"{outcome.detail}{lost}: again in {wait.total_seconds():.0f} s.", tries=tries)


def _waits(d: Draft, delivery: Delivery, state: DeliveryState, reason: str, wait: timedelta) -> None:
    d.put([replace(delivery, state=state, reason=reason, next_at=d.now + wait)])


def backoff(delivery: Delivery, tries: int) -> timedelta:
    """Half to the whole of a doubling pause. The jitter follows from the ids, so that replicas and replays agree.

    What a digest names comes due together again.
    """
    doublings: int = 2 ** min(tries - 1, 20)
    pause = min(LONGEST_BACKOFF, FIRST_BACKOFF * doublings)
    return pause * (0.5 + derived_share(delivery.digest_id or delivery.id, "jitter", tries) / 2)


def _fail(d: Draft, delivery: Delivery, why: str) -> None:
    """Give up this way: the same person by another way, else the next step, else the catch-all; all at once."""
    failed = replace(d.state.deliveries[delivery.id], state=DeliveryState.FAILED, reason=why, token=None)
    d.put([replace(failed, claimed_until=None)])
    d.say(f"{title(d.state.configuration, failed.target)} could not be told by {failed.way}: {why}.")
    if d.page.id != failed.page_id or failed.purpose in QUIET:
        return
    d.write("failed")
    d.trouble(f"{failed.target} by {failed.way}: {why}")
    d.emit(PageFailed, delivery_id=failed.id, target=failed.target)
    way = _next_way(d, failed)
    if way is not None:
        made = other_way(d, failed, way)
        if made.id not in d.state.deliveries:
            d.put([made])
            d.say(f"{title(d.state.configuration, failed.target)} is told by {way.kind} instead of {failed.way}.")
            d.write("other_way", deliveries=[made])
    elif next_on_call(d, failed):
        return
    elif failed.purpose == Purpose.CALL and d.page.state == PageState.OPEN and not _others(d, failed):
        if failed.step is not None and failed.cycle == d.page.cycle:
            forward(d, failed.step, failed.round, why)
        elif failed.target != CATCH_ALL:
            nowhere(d, failed.on, f"failed:{failed.id}", why)


def _next_way(d: Draft, failed: Delivery) -> Way | None:
    if failed.purpose == Purpose.CALL and not d.page.live:
        return None
    target = again(d.state.configuration, failed.target)
    if isinstance(target, str):
        return None
    kinds = [way.kind for way in target.ways]
    at = kinds.index(failed.way) + 1 if failed.way in kinds else 0
    return target.ways[at] if at < len(target.ways) else None


def _others(d: Draft, failed: Delivery) -> bool:
    """Whether somebody else was or will be told by the same step."""
    return any(
        each.id != failed.id
        and (each.page_id, each.cycle, each.step, each.round, each.cause)
        == (failed.page_id, failed.cycle, failed.step, failed.round, failed.cause)
        and (unsent(each) or each.state == DeliveryState.SENT)
        for each in d.state.deliveries.values()
    )


def correct(d: Draft) -> None:
    """Whoever was told of a breach that was none is told so, once."""
    for clock_id in d.page.clocks:
        clock = d.state.clocks.get(clock_id)
        if clock is None or clock.ended != ClockState.WITHDRAWN:
            continue
        told = [
            Target(each.target, (Way(each.way, each.lane),), each.via)
            for each in d.state.deliveries.values()
            if (each.page_id, each.clock_id, each.purpose) == (d.page.id, clock_id, Purpose.CALL) and _reached(each)
        ]
        once = {each.key: each for each in told}.values()
        ask = Ask(On.BREACHED, clock_id, f"withdrawn:{clock_id}", purpose=Purpose.WITHDRAWN)
        made = send(d, list(once), ask)
        if made:
            d.say(f"The {METRICS[clock.metric]} had been given in time: whoever was told otherwise is told so.")
            d.write("withdrawn", deliveries=made)


def _reached(delivery: Delivery) -> bool:
    return delivery.state == DeliveryState.SENT or delivery.lost > 0


def retry(d: Draft, asked: Retry) -> None:
    """By hand: send again what failed, or at once what waits."""
    delivery = d.state.deliveries.get(asked.delivery_id)
    if delivery is None or delivery.page_id != d.page.id or not d.page.live:
        d.say("The page of this delivery is over, so nothing is sent again.")
        return
    if delivery.state in (DeliveryState.SENT, DeliveryState.SUPPRESSED):
        d.say(f"The delivery was {delivery.state}: only one that failed or waits can be sent again.")
        return
    if delivery.claimed_until is not None and delivery.claimed_until > d.now:
        d.say("The delivery is being sent already.")
        return
    again_ = replace(delivery, state=DeliveryState.QUEUED, reason=None, next_at=d.now, tries=0, since=None)
    d.put([again_])
    d.say(f"{title(d.state.configuration, delivery.target)} is told again by {delivery.way}, as {asked.by} asked.")
    d.write("retried", by=asked.by)


def wait(d: Draft, asked: Wait) -> None:
    """It comes with the next digest."""
    delivery = d.state.deliveries.get(asked.delivery_id)
    if delivery is None or not unsent(delivery) or delivery.token is not None or delivery.next_at > d.now:
        d.say("The delivery is over, or not due.")
        return
    _waits(d, delivery, DeliveryState.HELD, asked.reason, asked.until - d.now)
    d.say(asked.reason)


def overdue(d: Draft, asked: Overdue) -> None:
    """Its lane takes nothing, and it waited long enough: another way, unless it is the last resort."""
    delivery = d.state.deliveries.get(asked.delivery_id)
    if delivery is None or not unsent(delivery) or delivery.token is not None or delivery.next_at > d.now:
        d.say("The delivery is over, or does not wait for its lane.")
        return
    if delivery.purpose != Purpose.CALL or delivery.target == CATCH_ALL:
        d.say("There is no other way for this delivery: it waits for its lane.")
        return
    _fail(d, delivery, f"It waited {PATIENCE.total_seconds():.0f} s for {delivery.lane}. {asked.reason}")


def unmute(d: Draft, asked: Unmute) -> None:
    """A silence was taken back: what waited for it is due now."""
    freed = [
        replace(each, next_at=d.now, reason="The silence was taken back")
        for each in d.state.deliveries.values()
        if each.muted_by == asked.silence_id and unsent(each)
    ]
    d.put(freed)
    d.say(f"The silence was taken back: {len(freed)} messages go out.")
