"""The message of a digest, from the states of its cases as they are now."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.notify.decide.storms import CHANGED, Digest, about
from services.notify.message import Message, build
from services.notify.message.digest import digests
from services.notify.model import CaseState, Purpose
from services.notify.oncall.targets import person_title
from shared.contracts.words import PageState


def draw(members: Sequence[tuple[CaseState, UUID]], digest: Digest, now: datetime) -> Message:
    """Names every member, in order. One that arrived already is changed in place, where its provider can."""
    messages: list[Message] = []
    for state, delivery_id in members:
        try:
            messages.append(_as_it_is(state, delivery_id, now))
        except LookupError:
            messages.append(_over(state, messages))
    [message, *_] = digests(messages, about(digest.grouping))
    in_place = digest.receipt is not None and digest.way in CHANGED
    purpose = Purpose.UPDATE if in_place else Purpose.CALL
    return replace(message, purpose=purpose, delivery_id=digest.id, follows=digest.receipt if in_place else None)


def _as_it_is(state: CaseState, delivery_id: UUID, now: datetime) -> Message:
    """Raises ``LookupError`` where a later page of the case took its place."""
    delivery = state.deliveries.get(delivery_id)
    if delivery is None:
        raise LookupError(f"delivery {delivery_id} belongs to an earlier page")
    message, page = build(state, replace(delivery, purpose=Purpose.UPDATE), now), state.page
    if page is not None and page.state == PageState.ACKNOWLEDGED and page.acknowledged_by:
        return replace(
            message, lock=f"{message.lock} (taken by {person_title(state.configuration, page.acknowledged_by)})"
        )
    return message


def _over(state: CaseState, others: Sequence[Message]) -> Message:
    """A case of which nothing more is known here is named all the same, struck out."""
    if not others or state.facts.summary is None:
        raise LookupError(f"nothing is known of case {state.case_id}")
    number = state.facts.summary.number
    return replace(
        others[0], lock=f"{number} called before", context=(number,), case_url=state.facts.summary.url, live=False,
        can_acknowledge=False,
    )  # fmt: skip
