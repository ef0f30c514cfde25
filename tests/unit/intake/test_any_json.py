"""Any JSON as a contact: an answer that says what to do, never an error of ours, and no card number anywhere."""

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake import channels
from services.intake.channels.adapter import Received, Rejected
from services.intake.model import Contact
from tests.unit.intake.conftest import Intake

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CARDS = ("4242424242424242", "378282246310005", "5555555555554444", "30569309025904", "6011111111111117")
JSON_BODY = {"content-type": "application/json"}
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")

anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=6,
)


@st.composite
def with_card(draw: st.DrawFn) -> str:
    """A card number as people write one, among other words."""
    card = draw(st.sampled_from(CARDS))
    gap = draw(st.sampled_from(["", " ", "-", "\u00a0", "\u2013"]))
    written = gap.join(card[n : n + 4] for n in range(0, len(card), 4))
    written = draw(st.sampled_from([written, written.translate(FULL_WIDTH), written.translate(ARABIC)]))
    before = draw(st.text(alphabet="abc ,.:;()\n😀é", max_size=10))
    return f"{before} {written} {draw(st.text(alphabet='abc ,.;()😀é', max_size=10))}"


words = st.text(max_size=40) | with_card()
good: dict[str, st.SearchStrategy[Any]] = {
    "body": words,
    "reason": with_card(),
    "tags": st.lists(with_card() | st.sampled_from(["vip", "payouts"]), max_size=3),
    "attributes": st.dictionaries(with_card(), words | st.sampled_from([*map(int, CARDS)]), max_size=3),
    "customer": st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "email", "phone"), words)),
    "occurred_at": st.just("2026-11-22T07:03:00+01:00"),
    "url": st.just("https://desk.example/t/1"),
    "channel": st.just("web"),
}
plausible = st.fixed_dictionaries({"subject": words}, optional=good)
odd = st.fixed_dictionaries({}, optional={name: each | anything for name, each in (good | {"nonsense": words}).items()})


def digits(text: str) -> str:
    return "".join(
        str(int(letter)) if letter.isdecimal() else letter for letter in text if letter not in " -\u00a0\u2013"
    )


def has_card(text: str) -> bool:
    bare = digits(text)
    return any(card in bare for card in CARDS)


@settings(max_examples=150)
@given(plausible | odd | anything)
def test_any_json_is_a_contact_without_a_card_number_or_a_sentence_that_says_why_not(posted: Any) -> None:
    outcome = channels.read("api", json.dumps(posted).encode(), Received(NOON))
    if isinstance(outcome, Rejected):
        assert outcome.detail and not has_card(outcome.detail)
    else:
        assert isinstance(outcome, Contact)
        assert not has_card(json.dumps(outcome.model_dump(mode="json"), ensure_ascii=False))


async def test_no_card_number_is_stored_published_or_answered(intake: Intake) -> None:
    drawn: list[Any] = []

    @settings(max_examples=60, database=None)
    @given(plausible | odd)
    def draw(posted: Any) -> None:
        drawn.append(posted)

    draw()
    accepted = 0
    for posted in drawn:
        answer = await intake.client.post("/v1/contacts", content=json.dumps(posted).encode(), headers=JSON_BODY)
        assert answer.status_code < 500, posted
        assert not has_card(answer.text)
        accepted += answer.status_code == 202
    fates = await intake.batch(drawn)
    assert {fate["status"] for fate in fates} <= {202, 422}
    assert accepted == sum(fate["status"] == 202 for fate in fates) > 0
    assert not has_card(await intake.everything_stored())


async def test_an_answer_to_a_bad_request_repeats_no_card_number(intake: Intake) -> None:
    for path, bad in (
        ("/v1/contacts", {"4242 4242 4242 4242": 1}),
        ("/v1/contacts", {"customer": {"4242424242424242": 1}}),
        ("/v1/contacts?4242424242424242=1", {"subject": "x"}),
        ("/v1/contacts", {"attributes": {"n": 10**30 + 4242424242424242}}),
        ("/v1/activities", {"kind": "4242424242424242"}),
    ):
        answer = await intake.client.post(path, json=bad)
        assert answer.status_code == 422
        assert not has_card(answer.text)
