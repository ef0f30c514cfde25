"""A message as it would be now, though nobody asked for one: for the page behind a link, and for previews. Pure."""

from datetime import datetime
from uuid import UUID

from services.notify.model import CaseState, Delivery, Purpose
from services.notify.model.specs import On
from shared.contracts.words import DeliveryState

NOBODY = UUID(int=0)


def delivery(state: CaseState, target: str, way: str, purpose: Purpose, now: datetime) -> Delivery | None:
    """One to ``target`` about the case's latest page; None where it has none."""
    page = state.page
    if page is None or not page.clocks:
        return None
    on = On.BREACHED if page.base_breached else On.WARNED
    return Delivery(
        id=NOBODY,
        page_id=page.id,
        target=target,
        via=None,
        way=way,
        lane=way,
        purpose=purpose,
        on=on,
        cycle=page.cycle,
        step=None,
        round=0,
        cause="sample",
        clock_id=page.clocks[-1],
        state=DeliveryState.QUEUED,
        created_at=now,
        next_at=now,
    )
