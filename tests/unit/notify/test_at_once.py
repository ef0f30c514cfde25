"""Messages that are claimed in the transaction that decides them: sooner, and with the same promises."""

from datetime import timedelta

import pytest

from services.notify.senders.loop import Sending
from shared.contracts.clocks import ClockBreached
from shared.contracts.identity import derived
from tests.stand_ins.slack import Slack
from tests.stand_ins.smtp import Mail
from tests.unit.notify.given import SUMMARY, breached, met, minutes
from tests.unit.notify.running import Running

DESK = {"kind": "email", "to": ["desk@example.com"], "digest": False}
FRAUD = SUMMARY.model_copy(update={"team": "fraud"})


@pytest.fixture
async def desk(notify: Running) -> Running:
    """Where calls for team fraud go to a mailbox, each by itself."""
    await notify.ok("PUT", "/v1/destinations/desk", DESK)
    return notify


def broken(number: int) -> ClockBreached:
    return breached(case_id=derived("case", number), clock_id=derived("clock", number), summary=FRAUD)


async def send(notify: Running) -> None:
    """What the senders and the recording loop do; nothing is claimed."""
    while not notify.sending.idle:
        await notify.sending.send()
    await notify.record()


async def test_what_leaves_by_itself_is_claimed_with_its_batch_and_sent_once(desk: Running, mail: Mail) -> None:
    desk.runtime.wake_sender.clear()
    await desk.read(breached(summary=FRAUD))
    assert not desk.runtime.wake_sender.is_set(), "nothing is left for whoever claims"
    await send(desk)
    await desk.pump()
    assert len(mail.inbox) == 1
    [delivery] = await desk.deliveries()
    assert (delivery["state"], delivery["lost"]) == ("sent", 0)
    assert [attempt["outcome"] for attempt in delivery["attempts"]] == ["sent"]
    assert [line["kind"] for line in (await desk.page())["history"]] == ["opened", "step"]
    assert await desk.balance() == {"pages→deliveries": 0, "sends→answers": 0}


async def test_what_is_not_committed_is_not_handed_out(
    desk: Running, mail: Mail, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = desk.runtime.begin
    assert begin is not None

    async def and_fail(*given: object) -> None:
        await begin(*given)  # type: ignore[arg-type]
        raise ConnectionError("the database went away")

    monkeypatch.setattr(desk.runtime, "begin", and_fail)
    with pytest.raises(ConnectionError):
        await desk.read(breached(summary=FRAUD))
    assert desk.sending.idle
    monkeypatch.undo()
    await desk.read(breached(summary=FRAUD))
    await send(desk)
    assert len(mail.inbox) == 1


async def test_a_kill_after_the_commit_leaves_a_claim_that_runs_out(
    desk: Running, embedded: str, slack: Slack, mail: Mail
) -> None:
    await desk.read(breached(summary=FRAUD))  # and the process dies here
    reborn = await Running.join(embedded, slack, mail, desk.clock.now() + timedelta(minutes=1))
    await reborn.pump()
    assert len(mail.inbox) == 1
    [delivery] = await reborn.deliveries()
    assert (delivery["state"], delivery["lost"]) == ("sent", 1)
    assert [attempt["outcome"] for attempt in delivery["attempts"]] == ["lost", "sent"]
    await reborn.stop()


async def test_nothing_goes_before_what_waits_in_its_lane(desk: Running, mail: Mail) -> None:
    await desk.tell(broken(1))
    desk.clock.advance(timedelta(seconds=1))
    await desk.read(broken(2))
    assert desk.sending.idle
    assert desk.runtime.wake_sender.is_set()
    await desk.pump()
    first, second = sorted(await desk.deliveries(), key=lambda each: str(each["created_at"]))
    for told, delivery in zip(mail.inbox, (first, second), strict=True):
        assert delivery["id"] in told["headers"]["message-id"]


async def test_no_more_is_claimed_than_the_lane_takes(desk: Running, mail: Mail) -> None:
    await desk.ok("PUT", "/v1/destinations/desk", DESK | {"limit": {"per_second": 1, "burst": 2}})
    await desk.read(*(broken(number) for number in range(5)))
    await send(desk)
    assert len(mail.inbox) == 2
    assert desk.runtime.wake_sender.is_set()
    await desk.until(desk.clock.now() + timedelta(seconds=4))
    assert len(mail.inbox) == 5


async def test_a_case_that_is_over_in_the_same_batch_is_told_nothing(desk: Running, mail: Mail) -> None:
    await desk.read(breached(summary=FRAUD), met(minutes(1)))
    await send(desk)
    await desk.pump()
    assert mail.inbox == []


async def test_what_was_begun_when_the_senders_stopped_is_given_back(
    desk: Running, embedded: str, slack: Slack, mail: Mail, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = desk.runtime.begin
    assert begin is not None

    async def and_stop(*given: object) -> None:
        await begin(*given)  # type: ignore[arg-type]
        await desk.sending.close()

    monkeypatch.setattr(desk.runtime, "begin", and_stop)
    await desk.read(broken(1))
    monkeypatch.undo()
    await desk.read(broken(2))
    assert desk.sending.idle
    next_one = await Running.join(embedded, slack, mail, desk.clock.now() + timedelta(seconds=1))
    await next_one.pump()
    assert len(mail.inbox) == 2
    assert [(each["state"], each["lost"]) for each in await next_one.deliveries()] == [("sent", 0)] * 2
    await next_one.stop()


async def test_no_sender_is_given_more_than_there_are(
    desk: Running, mail: Mail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sending, "_free", lambda _: (3, []))
    await desk.read(*(broken(number) for number in range(7)))
    assert desk.sending._claimed.qsize() == 3
    monkeypatch.undo()
    await desk.pump()
    assert len(mail.inbox) == len({each["headers"]["message-id"] for each in mail.inbox}) == 7
