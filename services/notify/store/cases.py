"""The state of cases: load and save in bulk, a fixed number of statements each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, TypeVar
from uuid import UUID

from services.notify.decide.lanes import limits
from services.notify.model import CaseState, Clock, Delivery, Entry, Facts, Held, Line, Page, Policy, Purpose, Silence
from services.notify.model.escalation import EscalationPolicySpec, HoursSpec
from services.notify.model.silences import Effect
from services.notify.model.specs import On
from services.notify.store import tables
from services.notify.store.configuration import build
from services.notify.store.lanes import add_lanes, block
from shared.batch import Change
from shared.bulk import Together
from shared.contracts.clocks import CaseSummary
from shared.contracts.envelope import Because
from shared.contracts.words import ClockState, DeliveryState, Metric, PageState
from shared.db import Tx, from_json
from shared.resources import Configured

T = TypeVar("T")

_Read = Callable[[Any], tuple[Any, ...]]
_Reading = tuple[tuple[str, ...], _Read, _Read]
_READINGS: dict[tuple[type[Any], frozenset[str]], _Reading] = {}  # looked up for every row

MAX_SILENCES = 1_000  # in force at once
PAGE_COLUMNS = "p.*, ARRAY(SELECT c.clock_id FROM page_clock c WHERE c.page_id = p.id ORDER BY c.place) AS clocks"


class NotifyStore:
    def __init__(self) -> None:
        self._configuration = Configured(build)

    async def load(self, tx: Tx, case_ids: Sequence[UUID], now: datetime) -> Mapping[UUID, CaseState]:
        configuration = await self._configuration.read(tx)
        silences = await in_force(tx, now)
        facts = await _facts(tx, case_ids)
        pages = await _pages(tx, case_ids)
        deliveries = await _deliveries(tx, case_ids, [page.id for page in pages.values()])
        known = {i for page in pages.values() for i in page.clocks}
        known |= {each.clock_id for of in deliveries.values() for each in of.values()}
        clocks = await _clocks(tx, case_ids, known)
        return {
            case_id: CaseState(
                case_id,
                configuration,
                silences,
                facts.get(case_id, Facts()),
                clocks.get(case_id, {}),
                pages.get(case_id),
                deliveries.get(case_id, {}),
            )
            for case_id in case_ids
        }

    async def save(self, tx: Tx, changes: Sequence[Change[CaseState]], now: datetime) -> None:
        moved = [change for change in changes if change.before is not change.after]
        states = [(change.before, change.after) for change in moved]
        pages = [(c.case_id, c.before.page, page) for c in moved for page in _touched(c)]
        clocks = [{"case_id": a.case_id, **_plain(c)} for b, a in states for c in _new(b.clocks, a.clocks)]
        touched = [(a.case_id, b.deliveries.get(d.id), d) for b, a in states for d in _new(b.deliveries, a.deliveries)]
        writes = Together()
        writes.upsert(tables.case_facts, [_facts_row(a) for b, a in states if a.facts != b.facts])
        writes.upsert(tables.clock, clocks)
        written: dict[int, bytes] = {}  # policies of these pages, which share a few
        writes.upsert(tables.page, [_page_row(case_id, page, written) for case_id, _, page in pages])
        writes.insert_new(tables.page_clock, [joined for _, b, page in pages for joined in _joined(b, page)])
        writes.insert_new(tables.page_entry, [_entry_row(entry) for _, a in states for entry in a.history])
        if made := [(case_id, d) for case_id, before, d in touched if before is None]:
            await add_lanes(tx, limits(states[0][1].configuration, {d.lane: d.way for _, d in made}))
        writes.upsert(tables.delivery, [{"case_id": case_id, **_delivery_row(d)} for case_id, d in made])
        writes.update(tables.delivery, _moved([(b, d) for _, b, d in touched if b is not None]))
        tries = [_plain(t) for _, a in states for t in a.tries.values()]
        writes.upsert(tables.attempt, tries, keep=("started_at",))  # who records the answer knows not when it began
        await writes.send(tx)
        await block(tx, {lane: each for _, a in states for lane, each in a.blocks.items()})


def _touched(change: Change[CaseState]) -> list[Page]:
    """Every page that a batch changed: one may have ended and the next begun."""
    found = {page.id: page for decision in change.decisions if (page := decision.state.page) is not None}
    return [page for page in found.values() if page != change.before.page]


def _new(before: Mapping[UUID, T], after: Mapping[UUID, T]) -> list[T]:
    return [each for key, each in after.items() if before.get(key) is not each]


def _plain(value: Any) -> dict[str, Any]:
    """A dataclass as a row: its fields are named like the columns."""
    names, attributes, _ = _named(type(value), frozenset())
    return dict(zip(names, attributes(value), strict=True))


def _joined(before: Page | None, page: Page) -> list[dict[str, Any]]:
    """The clocks that a page took in, with their places in the order of joining."""
    known = before.clocks if before is not None and before.id == page.id else ()
    joined = [(place, clock_id) for place, clock_id in enumerate(page.clocks) if clock_id not in known]
    return [{"page_id": page.id, "clock_id": clock_id, "place": place} for place, clock_id in joined]


def _entry_row(entry: Entry) -> dict[str, Any]:
    return {**_plain(entry), "deliveries": [str(each) for each in entry.deliveries]}


def _delivery_row(delivery: Delivery) -> dict[str, Any]:
    return {**_plain(delivery), "rank_at": delivery.next_at - timedelta(seconds=delivery.head_start)}


def _moved(changes: Sequence[tuple[Delivery, Delivery]]) -> list[dict[str, Any]]:
    """Of deliveries that are stored, only what differs in any of them: most of their columns never change."""
    pairs = [(_delivery_row(before), _delivery_row(after)) for before, after in changes]
    names = sorted({name for before, after in pairs for name in after if before[name] != after[name]})
    return [{"id": after["id"], **{name: after[name] for name in names}} for _, after in pairs if names]


def _facts_row(state: CaseState) -> dict[str, Any]:
    return {"case_id": state.case_id, **_plain(state.facts)}


def _page_row(case_id: UUID, page: Page, written: dict[int, bytes]) -> dict[str, Any]:
    row = _plain(page)
    policy = page.policy
    if id(policy.spec) not in written:
        written[id(policy.spec)] = policy.spec.model_dump_json(exclude_unset=True).encode()
    return {
        **{name: each for name, each in row.items() if name not in ("clocks", "policy")},
        "case_id": case_id,
        "policy_name": policy.name,
        "policy_version": policy.version,
        "policy_spec": written[id(policy.spec)],
    }


async def in_force(tx: Tx, now: datetime) -> tuple[Silence, ...]:
    rows = await tx.named(
        'SELECT * FROM silence WHERE "end" > :now ORDER BY "end" DESC, id LIMIT :limit', now=now, limit=MAX_SILENCES
    )
    return tuple(silence_of(row) for row in rows)


def silence_of(row: Mapping[str, Any]) -> Silence:
    metric = Metric(row["metric"]) if row["metric"] is not None else None
    during = HoursSpec.model_validate(from_json(row["during"])) if row["during"] is not None else None
    return of_row(Silence, row, metric=metric, effect=Effect(row["effect"]), during=during)


async def _facts(tx: Tx, case_ids: Sequence[UUID]) -> dict[UUID, Facts]:
    rows = await tx.named(
        "SELECT * FROM case_facts WHERE case_id = ANY(CAST(:ids AS uuid[])) ORDER BY case_id", ids=list(case_ids)
    )
    return {row["case_id"]: facts_of(row) for row in rows}


def facts_of(row: Mapping[str, Any]) -> Facts:
    summary = CaseSummary.model_validate(from_json(row["summary"])) if row["summary"] is not None else None
    fizzled = tuple(datetime.fromisoformat(at) for at in from_json(row["fizzled"]))
    return of_row(Facts, row, teams_seen=tuple(from_json(row["teams_seen"])), summary=summary, fizzled=fizzled)


async def _pages(tx: Tx, case_ids: Sequence[UUID]) -> dict[UUID, Page]:
    """The latest page of each case."""
    rows = await tx.named(
        f"SELECT DISTINCT ON (p.case_id) {PAGE_COLUMNS} FROM page p WHERE p.case_id = ANY(CAST(:ids AS uuid[]))"
        " ORDER BY p.case_id, p.number DESC",
        ids=list(case_ids),
    )
    return {row["case_id"]: page_of(row) for row in rows}


def page_of(row: Mapping[str, Any]) -> Page:
    return of_row(
        Page,
        row,
        state=PageState(row["state"]),
        policy=Policy(row["policy_name"], row["policy_version"], _policy_spec(row["policy_spec"])),
        clocks=tuple(row["clocks"]),
        because=Because.model_validate(from_json(row["because"])),
        rounds=tuple(from_json(row["rounds"])),
        base_overdue=tuple(datetime.fromisoformat(at) for at in from_json(row["base_overdue"])),
        holds=tuple(_held(each) for each in from_json(row["holds"])),
        troubles=tuple(from_json(row["troubles"])),
    )


@lru_cache(maxsize=1024)
def _policy_spec(written: str) -> EscalationPolicySpec:
    """Most pages keep one of a few policies."""
    return EscalationPolicySpec.model_validate(from_json(written))


def _held(stored: Mapping[str, Any]) -> Held:
    return Held(stored["step"], datetime.fromisoformat(stored["until"]), stored["why"])


async def _deliveries(tx: Tx, case_ids: Sequence[UUID], page_ids: Sequence[UUID]) -> dict[UUID, dict[UUID, Delivery]]:
    """Those of the latest pages, and of earlier ones what is not finished."""
    rows = await tx.named(
        "SELECT * FROM delivery WHERE page_id = ANY(CAST(:pages AS uuid[])) UNION"
        " SELECT * FROM delivery WHERE case_id = ANY(CAST(:ids AS uuid[]))"
        " AND (state IN ('queued', 'held', 'unknown') OR token IS NOT NULL) ORDER BY created_at, id",
        pages=list(page_ids),
        ids=list(case_ids),
    )
    found: dict[UUID, dict[UUID, Delivery]] = {}
    for row in rows:
        found.setdefault(row["case_id"], {})[row["id"]] = delivery_of(row)
    return found


def delivery_of(row: Mapping[str, Any]) -> Delivery:
    said = from_json(row["lines"]) if row["lines"] is not None else ()
    lines = tuple(Line(datetime.fromisoformat(each["at"]), each["text"]) for each in said)
    purpose, on, state = Purpose(row["purpose"]), On(row["on"]), DeliveryState(row["state"])
    return of_row(Delivery, row, purpose=purpose, on=on, state=state, lines=lines)


async def _clocks(tx: Tx, case_ids: Sequence[UUID], known: set[UUID]) -> dict[UUID, dict[UUID, Clock]]:
    """Those that run, and those that the pages and deliveries are about."""
    rows = await tx.named(
        "SELECT * FROM clock WHERE id = ANY(CAST(:known AS uuid[])) UNION SELECT * FROM clock"
        " WHERE case_id = ANY(CAST(:ids AS uuid[])) AND ended IS NULL ORDER BY started_at, id",
        known=sorted(known),
        ids=list(case_ids),
    )
    found: dict[UUID, dict[UUID, Clock]] = {}
    for row in rows:
        found.setdefault(row["case_id"], {})[row["id"]] = clock_of(row)
    return found


def clock_of(row: Mapping[str, Any]) -> Clock:
    return of_row(Clock, row, metric=Metric(row["metric"]), ended=ClockState(row["ended"]) if row["ended"] else None)


def of_row(kind: type[T], row: Mapping[str, Any], **converted: Any) -> T:
    """A dataclass from the columns that are named like its fields."""
    names, _, columns = _named(kind, frozenset(converted))
    return kind(**dict(zip(names, columns(row), strict=True)), **converted)


def _named(kind: type[Any], but: frozenset[str]) -> _Reading:
    """The fields of a dataclass; how to read them of one; and of a row with columns named like them."""
    found = _READINGS.get((kind, but))
    if found is None:
        names = tuple(each.name for each in fields(kind) if each.name not in but)
        found = _READINGS[kind, but] = (names, attrgetter(*names), itemgetter(*names))
    return found
