"""What is made past validation is what validation would have made."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from pydantic import BaseModel

from services.intake import channels
from services.intake.channels.adapter import Received
from services.intake.decide import decide
from services.intake.model import Arrival, CaseFile, Contact
from services.intake.threads import Place, explain
from shared.contracts.trusted import trusted

AT = datetime(2026, 11, 22, 7, 3, tzinfo=UTC)
CASE, CONTACT = UUID(int=7), UUID(int=8)
LEAST = b'{"body": "Where is it?"}'
MOST = """{"channel": "web", "source": "shop", "external_id": "1-c7", "thread": "1", "url": "https://a.example/1",
 "occurred_at": "2026-11-22T07:02:00+01:00", "customer": {"id": "cus_1", "email": "A@b.example", "phone": "01 234 5678",
 "name": "Ä", "tier": "gold", "country": "ie"}, "subject": " Überweisung ", "body": " 4242 4242 4242 4242 ",
 "language": "de", "reason": "payout", "tags": ["a", "b", "a"], "attributes": {"n": 1, "deep": {"x": [1.5, null]}}}"""


@pytest.mark.parametrize("raw", [LEAST, MOST.encode()])
def test_a_contact_and_its_event_are_as_validation_makes_them(raw: bytes) -> None:
    contact = channels.read("api", raw, Received(AT))
    assert isinstance(contact, Contact)
    arrival = Arrival(CONTACT, contact, 1000, explain(Place(), {}))
    [event] = decide(CaseFile(CASE), arrival, AT).events
    for made in (contact, event):
        again = type(made).model_validate(dict(made))
        assert made == again
        assert made.model_dump_json() == again.model_dump_json()
        assert [type(value) for _, value in made] == [type(value) for _, value in again]
        assert made.model_copy(update={"subject": ""}).model_dump() == {**again.model_dump(), "subject": ""}


def test_a_field_that_is_missing_unknown_or_elsewhere_is_refused() -> None:
    class Pair(BaseModel):
        one: int
        two: int = 2

    assert trusted(Pair, one=1, two=2) == Pair(one=1)
    for wrong in ({"one": 1}, {"two": 2, "one": 1}, {"one": 1, "two": 2, "three": 3}):
        with pytest.raises(TypeError, match="in this order"):
            trusted(Pair, **wrong)
