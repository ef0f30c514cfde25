"""The message of a digest, from the states of its cases as they are now."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.notify.decide.storms import CHANGED, Digest, about
from services.notify.message import Message, build, link
from services.notify.message.digest import digests
from services.notify.model import CaseState, Purpose
from services.notify.oncall.targets import person_title
from shared.contracts.words import PageState


def draw(members: Sequence[tuple[CaseState, UUID]], digest: Digest, now: datetime, words: bool = True) -> Message:
    """Names every member, in order. One that arrived already is changed in place, where its provider can. ``words``:
    it may have the customers' own.

    Raises ``LookupError`` where each of its cases called anew since.
    """
    drawn = [_as_it_is(state, delivery_id, now, words) for state, delivery_id in members]
    known = next((each for each in drawn if each is not None), None)
    if known is None:
        raise LookupError("later pages took the place of all that it names")
    messages = [each or _over(state, known) for each, (state, _) in zip(drawn, members, strict=True)]
    [message, *_] = digests(messages, about(digest.grouping))
    in_place = digest.receipt is not None and digest.way in CHANGED
    purpose = Purpose.UPDATE if in_place else Purpose.CALL
    return replace(message, purpose=purpose, delivery_id=digest.id, follows=digest.receipt if in_place else None)


def closing(
    members: Sequence[tuple[CaseState, UUID]], digest: Digest, now: datetime
) -> tuple[Message, tuple[UUID, ...]]:
    """The mail that closes a storm, in the thread of ``digest``: what is over and what still waits; asks for nothing.

    Gives its deliveries in the order of its rows, those that wait first. Raises ``LookupError`` as ``draw`` does.
    """
    message, about_all = draw(members, digest, now), about(digest.grouping)
    order = sorted(range(len(message.rows)), key=lambda place: message.rows[place].over)
    rows = tuple(message.rows[place] for place in order)
    over = sum(row.over for row in rows)
    some = f"{over} of {len(rows)} cases are over in {about_all}, {len(rows) - over} still open"
    headline = some if over < len(rows) else f"{message.headline}: nothing is left to answer"
    drawn = replace(
        message, purpose=Purpose.UPDATE, follows=digest.receipt, rows=rows, headline=headline, lock=headline,
        can_acknowledge=False,
    )  # fmt: skip
    return drawn, tuple(members[place][1] for place in order)


def _as_it_is(state: CaseState, delivery_id: UUID, now: datetime, words: bool) -> Message | None:
    """None where a later page of the case took its place."""
    delivery = state.deliveries.get(delivery_id)
    if delivery is None:
        return None
    try:
        message, page = build(state, replace(delivery, purpose=Purpose.UPDATE), now, words), state.page
    except LookupError:
        return None
    if page is not None and page.state == PageState.ACKNOWLEDGED and page.acknowledged_by:
        by = person_title(state.configuration, page.acknowledged_by)
        return replace(message, lock=f"{message.lock} (taken by {by})")
    return message


def _over(state: CaseState, like: Message) -> Message:
    """A case of which nothing more is known here is named all the same, struck out."""
    summary = state.facts.summary
    number, url = (summary.number, summary.url) if summary is not None else ("A case", None)
    lock = f"{number} called before"
    return replace(like, lock=lock, context=(number,), case_url=link(url), live=False, can_acknowledge=False)
