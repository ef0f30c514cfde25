"""What a service's card passes over changes nothing there, whatever it says."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services import routing, sla
from services.routing.decide import decide as routed
from services.sla.decide import decide as promised
from shared.batch import Card
from shared.contracts.assignments import CaseAssigned
from shared.contracts.catalogue import TOPICS
from shared.contracts.contacts import ContactReceived
from shared.contracts.envelope import Event, EventData
from tests.unit.architecture.recorded import EVENTS
from tests.unit.routing.test_decide import NEW, PAYOUT, run
from tests.unit.sla.stories import Desk, configured, policy, target

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TOPIC_OF = {model: topic for topic, models in TOPICS.items() for model in models}
CARDS = (routing.CARD, sla.CARD)
PASSED = [(card, model) for card in CARDS for model in card.passes_over]


def example(model: type[EventData], **more: Any) -> Event:
    body = json.loads((EVENTS / f"{model.TYPE}.json").read_text())
    data = model.model_validate(body.get("body", body) | more)
    return Event(UUID(int=1), "test", TOPIC_OF[model], 5, NOW, data)


def in_routing() -> tuple[Any, Callable[..., Any]]:
    return run(NEW, PAYOUT)[0], routed


def in_sla() -> tuple[Any, Callable[..., Any]]:
    desk = Desk(configured({"all": policy(target("first_reply", "PT1H"))}))
    desk.play([example(ContactReceived, opened_case=True), example(CaseAssigned)])
    return desk.case, promised


STATES = {"routing": in_routing, "sla": in_sla}


@pytest.mark.parametrize(("card", "model"), PASSED, ids=lambda each: getattr(each, "name", getattr(each, "TYPE", "")))
def test_an_event_that_is_passed_over_would_change_nothing(card: Card, model: type[EventData]) -> None:
    assert TOPIC_OF[model] in card.consumes
    state, decide = STATES[card.name]()
    made = decide(state, example(model, case_id=str(state.case_id)), NOW)
    assert (made.events, made.timers) == ((), ())
    assert made.state == state
