"""CASES 36: which case a contact joins, and why."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.intake.model import Activity, CaseFile, Contact, Mail, Standing
from services.intake.threads import Key, Place, activity_mark, explain, mark, place, rebinds, thread_key, trail
from shared.contracts.words import ActivityKind, Channel, Status

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ONE, TWO = UUID(int=1), UUID(int=2)
FILE = CaseFile(ONE, number=1000, participants=("ann@a.example", "bob@b.example"))
CLOSED = replace(FILE, standing=Standing(Status.CLOSED, NOON))


def mail(sender: str | None = "ann@a.example", own: str | None = "2@x", *answers: str, **more: object) -> Contact:
    how = Mail(mailbox="help@desk.example", message_id=own, answers=answers, sender=sender)
    given = {"channel": Channel.EMAIL, "occurred_at": NOON, "received_at": NOON, "mail": how} | more
    return Contact.model_validate(given)


def posted(**more: object) -> Contact:
    given = {"channel": Channel.CHAT, "occurred_at": NOON, "received_at": NOON, "source": "desk", "thread": "t"} | more
    return Contact.model_validate(given)


def message(name: str) -> Key:
    return Key("message", "help@desk.example", name)


def test_the_trail_is_own_id_then_what_it_answers_newest_first_and_the_root() -> None:
    assert [key.name for key in trail(mail("a@a", "9@x", "8@x", "7@x"))] == ["9@x", "8@x", "7@x"]
    long = trail(mail("a@a", None, *(f"{n}@x" for n in range(50))))
    assert (len(long), long[-1].name) == (12, "49@x")


def test_a_reply_of_a_participant_joins() -> None:
    where = place(mail("bob@b.example", "2@x", "1@x"), {message("1@x"): ONE}, {ONE: FILE})
    assert (where.joins, where.follows) == (ONE, None)
    assert explain(where, {ONE: "C-1000"}).text == "Joined C-1000: it answers a message."


def test_a_stranger_who_knows_a_message_id_joins_nothing() -> None:
    for sender in ("eve@e.example", None):
        where = place(mail(sender, "2@x", "1@x"), {message("1@x"): ONE}, {ONE: FILE})
        assert where == Place(turned_away=ONE)
        assert "takes no part" in explain(where, {ONE: "C-1000"}).text


def test_a_stranger_to_one_case_may_take_part_in_another_it_answers() -> None:
    other = replace(FILE, id=TWO, participants=("eve@e.example",))
    holders = {message("1@x"): ONE, message("0@x"): TWO}
    assert place(mail("eve@e.example", None, "1@x", "0@x"), holders, {ONE: FILE, TWO: other}).joins == TWO


def test_a_sources_thread_joins_whoever_writes() -> None:
    where = place(posted(), {thread_key("desk", "t"): ONE}, {ONE: FILE})
    assert where.joins == ONE
    assert explain(where, {ONE: "C-1000"}).text == "Joined C-1000: the same thread 't'."


def test_a_reply_whose_original_was_never_seen_opens_and_a_second_one_joins_it() -> None:
    """An unseen root (zammad#5716)."""
    first = mail("ann@a.example", "2@x", "1@x")
    assert place(first, {}, {}) == Place()
    bound = rebinds(trail(first), {}, ONE, None)
    assert bound == {message("2@x"): ONE, message("1@x"): ONE}
    assert place(mail("bob@b.example", "3@x", "1@x"), bound, {ONE: FILE}).joins == ONE


def test_a_contact_after_the_close_opens_a_follow_up_and_takes_the_thread_along() -> None:
    late = posted(occurred_at=NOON + timedelta(minutes=1), received_at=NOON + timedelta(minutes=1))
    holders = {thread_key("desk", "t"): ONE}
    where = place(late, holders, {ONE: CLOSED})
    assert (where.joins, where.follows) == (None, ONE)
    assert explain(where, {ONE: "C-1000"}).text == "Opened as a follow-up: C-1000 was closed before."
    assert rebinds(trail(late), holders, TWO, where.follows) == {thread_key("desk", "t"): TWO}


def test_a_contact_from_before_the_close_joins_however_late_it_comes() -> None:
    assert place(posted(), {thread_key("desk", "t"): ONE}, {ONE: CLOSED}).joins == ONE


def test_a_key_that_leads_elsewhere_is_left_to_its_case() -> None:
    assert rebinds(trail(mail("a@a", "2@x", "1@x")), {message("1@x"): TWO}, ONE, None) == {message("2@x"): ONE}


def test_a_message_id_repeated_by_another_sender_is_another_mail() -> None:
    assert mark(mail("ann@a.example", "1@x")) == mark(mail("ann@a.example", "1@x", "0@x"))
    assert mark(mail("ann@a.example", "1@x")) != mark(mail("eve@e.example", "1@x"))


def test_mail_without_message_id_is_the_same_by_its_words_and_its_time() -> None:
    one = mail("ann@a.example", None, stated_at="Mon, 23 Nov 2026 12:00:00 +0000", body="Hello there")
    again = mail("ann@a.example", None, stated_at="Mon, 23 Nov 2026 12:00:00 +0000", body="Hello\n there ")
    other = mail("ann@a.example", None, stated_at="Mon, 23 Nov 2026 12:00:01 +0000", body="Hello there")
    assert mark(one) == mark(again) != mark(other)
    assert mark(mail("ann@a.example", None, body="Hello there")) is None


def test_an_external_id_is_unique_within_its_source() -> None:
    assert mark(posted(external_id="1")) == Key("external", "desk", "1")
    assert mark(posted(external_id="1", source=None)) == Key("external", "", "1")
    assert mark(posted()) is None


def test_names_of_any_length_fit_an_index() -> None:
    keys = [
        mark(posted(external_id="ü" * 300)),
        thread_key("desk", "ü" * 300),
        *trail(mail("a@a", "x" * 900, "y" * 900)),
    ]
    assert all(key and len(key.name.encode()) <= 400 for key in keys)
    assert len(set(keys)) == len(keys)


def test_an_activity_without_an_external_id_has_no_mark() -> None:
    activity = Activity(ONE, ActivityKind.NOTE_ADDED, NOON, NOON)
    assert activity_mark(activity, ONE) is None
    assert activity_mark(replace(activity, external_id="1"), ONE) == Key("activity", f"case {ONE}", "1")
    assert activity_mark(replace(activity, external_id="1", source="desk"), ONE) == Key("activity", "desk", "1")
