"""What must hold when all is quiet: nothing is under way, nobody is held up, everything due has been done."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from services.notify.decide.storms import CHANGED
from shared import ledger
from shared.contracts.identity import derived
from shared.contracts.words import Metric
from shared.log import LogUnavailable
from tests.sim.model import Violation
from tests.sim.wiring import MEMBERS
from tests.sim.world import World

T = TypeVar("T")
BOOKS = ("inbox", "inbox_forgotten", "progress", "lease")
POOL = 40  # connections at most


async def all_holds(world: World) -> None:
    """Raises ``Violation``."""
    await _nothing_waits(world)
    await _nothing_is_lost(world)
    await _assignments(world)
    await _clocks(world)
    await _pages(world)
    await _ledger(world)


async def _rows(world: World, service: str, sql: str, **parameters: Any) -> Sequence[Any]:
    return await world.look(f"SET search_path = {service}", sql, *parameters.values())


async def tables(world: World, service: str) -> dict[str, str]:
    """What a service knows, table by table, but for what it read and who does what."""
    names = sorted(each.name for each in MEMBERS[service].service().metadata.tables.values() if each.name not in BOOKS)
    digest = "md5(coalesce(string_agg(CAST(t AS text), '|' ORDER BY CAST(t AS text)), ''))"
    sql = " UNION ALL ".join(f"SELECT '{name}' AS name, {digest} AS rows FROM {name} t" for name in names)
    return {each.name: each.rows for each in await _rows(world, service, sql)}


async def _nothing_waits(world: World) -> None:
    now = world.clock.now()
    for service in MEMBERS:
        if parked := await _rows(world, service, "SELECT topic, error FROM parked ORDER BY id LIMIT 3"):
            raise Violation(f"parked: {service} cannot decide {[tuple(each) for each in parked]}")
        if waiting := await _rows(world, service, "SELECT case_id FROM outbox LIMIT 1"):
            raise Violation(f"lost: {service} has not published about {waiting[0].case_id}")
        late = await _rows(world, service, "SELECT * FROM timer WHERE due_at <= $1 ORDER BY due_at LIMIT 1", now=now)
        if late:
            raise Violation(f"late: a timer of {service} did not fire: {late[0]}")


async def _nothing_is_lost(world: World) -> None:
    model = world.model
    stored = {
        "contact_id": {each.id for each in await _rows(world, "intake", "SELECT id FROM contact")},
        "activity_id": {each.id for each in await _rows(world, "intake", "SELECT id FROM activity")},
    }
    waiting = {each.id for each in await _rows(world, "intake", "SELECT id FROM waiting_activity")}
    for name, posted in model.posted.items():
        if posted.answer is None:
            raise Violation(f"accepted: {name} gets no answer")
        kind = "contact_id" if "contact_id" in posted.answer else "activity_id"
        accepted = UUID(posted.answer[kind])
        if accepted not in stored[kind] and accepted not in waiting:
            raise Violation(f"lost: {name} was answered {posted.answer} and is not here")
    for thread, cases in model.of_thread.items():
        if len({model.final(case_id) for case_id in cases}) > 1:
            raise Violation(f"one case: thread {thread} is {set(cases)}")
    for told, kind in ((model.told_contacts, "contact_id"), (model.told_activities, "activity_id")):
        if told != stored[kind]:
            raise Violation(f"lost: the log and intake differ in {list(told ^ stored[kind])[:3]}")
    if len(model.posted) != sum(map(len, stored.values())) + len(waiting):
        raise Violation(f"once: {len(model.posted)} were sent, {Counter(map(len, stored.values()))} are here")


async def _assignments(world: World) -> None:
    placed = {each.case_id: each.team for each in await _rows(world, "routing", "SELECT case_id, team FROM assignment")}
    told = {case_id: case.team for case_id, case in world.model.cases.items()}
    for each in await _rows(world, "intake", "SELECT id FROM case_file"):
        if each.id not in placed or placed[each.id] != told.get(each.id):
            raise Violation(
                f"one assignment: {each.id} is with {placed.get(each.id)}, and {told.get(each.id)} was told"
            )
    team: dict[UUID, str] = {}
    steps = await _rows(world, "routing", "SELECT case_id, team, from_team FROM assignment_history ORDER BY 1, number")
    for step in steps:
        if step.from_team is not None and step.from_team != team.get(step.case_id):
            raise Violation(f"custody: {step.case_id} left {step.from_team}, and {team.get(step.case_id)} had it")
        team[step.case_id] = step.team
    if astray := [case_id for case_id in placed if team.get(case_id) != placed[case_id]]:
        raise Violation(f"custody: of {astray[0]} does not end where it is")


async def _clocks(world: World) -> None:
    model, now = world.model, world.clock.now()
    rows = await _rows(
        world, "sla",
        "SELECT id, case_id, metric, instance, state, version, started_at, due_at, breached_at, ended_at FROM clock"
        " ORDER BY case_id, metric, instance",
    )  # fmt: skip
    first: dict[UUID, Any] = {}
    unassigned: Counter[UUID] = Counter()
    for seen in model.clocks.values():
        if wrong := seen.doubt or seen.cut_short:
            raise Violation(wrong)
    for row in rows:
        seen = model.clocks.get(row.id)
        if seen is None or seen.version != row.version:
            raise Violation(f"clock: {row} was told up to version {seen and seen.version}")
        if row.state == "running" and row.due_at is not None and row.due_at <= now:
            raise Violation(f"late: {row} is due and not broken at {now}")
        if row.metric == Metric.UNASSIGNED:
            unassigned[row.case_id] += 1
        if row.metric == Metric.FIRST_REPLY and row.instance == 1:
            first[row.case_id] = row
    for case_id, case in model.cases.items():
        if case.contacts and unassigned[case_id] != 1:
            raise Violation(f"one clock set: {case_id} has {unassigned[case_id]} clocks for its assignment")
        if case.plain and case_id in first and case.contacts:
            _first_reply(case_id, case, first[case_id], now)


def _first_reply(case_id: UUID, case: Any, clock: Any, now: Any) -> None:
    """Judged by when things happened, whenever they were told, from what stands on the wire."""
    began = min(case.contacts)
    replied = min((at for _, at in case.replies if at >= began), default=None)
    if replied == began or clock.state in ("cancelled", "withdrawn"):  # their numbers decide; no policy promises it
        return
    broken = clock.due_at is not None and (now >= clock.due_at if replied is None else replied > clock.due_at)
    expected = "met" if replied is not None else "breached" if broken else clock.state
    if clock.state != expected or (clock.due_at is not None and (clock.breached_at is not None) != broken):
        raise Violation(f"judged: {clock}, with {case}, now {now}")


async def _digests(world: World) -> tuple[set[UUID], dict[UUID, int]]:
    """Their keys; and those of mails that may have closed some of a storm, with how often each may have arrived."""
    storms: dict[tuple[str, str], list[Any]] = {}
    digests = await _rows(world, "notify", "SELECT * FROM digest ORDER BY opened_at, id")
    for row in digests:
        if row.way not in CHANGED:
            storms.setdefault((row.lane, row.grouping), []).append(row)
    parts = [of[a:b] for of in storms.values() for a in range(len(of)) for b in range(a + 1, len(of) + 1)]
    closings = {
        derived("closing", *(each.id for each in part)): max(each.lost + each.closed for each in part) for part in parts
    }
    return {row.id for row in digests}, closings


async def _pages(world: World) -> None:
    rows = await _rows(
        world, "notify",
        "SELECT d.id, d.page_id, d.state, d.reason, d.lost, (SELECT count(*) FROM attempt a WHERE a.delivery_id = d.id)"
        " AS attempts FROM delivery d ORDER BY d.id",
    )  # fmt: skip
    arrived, reached, excused = world.sinks.by_key, set[UUID](), set[UUID]()
    for row in rows:
        count = arrived.get(row.id, 0)
        if count > row.attempts or count > 1 + row.lost:
            raise Violation(f"duplicates: {row} arrived {count} times")
        count += row.id in world.sinks.digested
        if row.state == "sent" and not count:
            raise Violation(f"reaches: {row} never arrived")
        (reached if count else excused).add(row.page_id)
        if row.state in ("held", "unknown", "failed", "suppressed") and not row.reason:
            raise Violation(f"reaches: {row} does not say why")
    digests, closings = await _digests(world)
    for key, most in closings.items():
        if arrived.get(key, 0) > most:
            raise Violation(f"duplicates: a mail that closes a storm arrived {arrived[key]} times")
    if stray := arrived.keys() - digests - closings.keys() - {row.id for row in rows}:
        raise Violation(f"duplicates: {len(stray)} messages that nobody chose to send arrived")
    pages = await _rows(
        world, "notify",
        "SELECT p.id, p.state, p.troubles, (SELECT count(*) FROM timer t WHERE t.subject = p.id) AS timers FROM page p",
    )  # fmt: skip
    for page in pages:
        silent = page.id not in reached and page.id not in excused
        if silent and page.state in ("open", "exhausted") and not page.timers and page.troubles == "[]":
            raise Violation(f"reaches: page {page.id} told nobody, and does not say why")
        if page.id not in world.model.pages:
            raise Violation(f"lost: page {page.id} was never told of")


async def _ledger(world: World) -> None:
    for line in ledger.merge(await again(lambda: _entries(world))):
        if line.whole and (line.difference or line.terms.get("in_flight", 0)):
            raise Violation(f"ledger: {line.hop}, {line.unit}: {line.terms}")


async def _entries(world: World) -> list[ledger.Entry]:
    entries: list[ledger.Entry] = []
    for name, front in world.fronts.items():
        topic = front.runtime.service.card.publishes
        readers = [each for each, other in world.fronts.items() if topic in other.runtime.service.card.consumes]
        entries += await ledger.platform_entries(front.runtime, readers)
        async with world.databases[name].transaction() as tx:
            entries += await front.assembly.ledger(tx)
    return entries


async def again(ask: Callable[[], Awaitable[T]]) -> T:
    """What Tocsin itself is asked for, also over connections that were dropped: each of them fails once."""
    for _ in range(POOL):
        try:
            return await ask()
        except (DBAPIError, LogUnavailable):
            continue
    return await ask()
