"""Which message of a page later ones change or answer. Pure."""

from services.notify.model import CaseState, Delivery, Purpose
from shared.contracts.words import DeliveryState

UPDATED = frozenset({"slack", "pagerduty", "opsgenie", "webhook"})  # ways that take changes of what was told
THREADED = frozenset({"slack"})  # ways with threads


def roots(state: CaseState) -> list[Delivery]:
    """The first message of the case's page that reached each target by a way that can change it."""
    page = state.page
    told = [
        each
        for each in state.deliveries.values()
        if page is not None
        and each.page_id == page.id
        and each.purpose == Purpose.CALL
        and each.way in UPDATED
        and each.state == DeliveryState.SENT
        and each.receipt
    ]
    told.sort(key=lambda each: (each.sent_at or each.created_at, str(each.id)))
    first: dict[tuple[str, str], Delivery] = {}
    for each in told:
        first.setdefault((each.target, each.way), each)
    return list(first.values())


def root_of(state: CaseState, delivery: Delivery) -> Delivery | None:
    """The earlier message that this one belongs to; None for the first of its kind."""
    key = (delivery.target, delivery.way, delivery.lane)
    same = (each for each in roots(state) if (each.target, each.way, each.lane) == key)
    return next((each for each in same if each.id != delivery.id), None)
