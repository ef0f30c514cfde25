"""How a clock stands: what follows from the facts, together with what was announced. Pure."""

from collections.abc import Sequence
from datetime import datetime

from services.sla.decide.derive import Derived
from services.sla.decide.sentences import because
from services.sla.model import Case, Clock, Firing, Gone, Level
from services.sla.model.changed import changed
from shared.contracts.decision import SetTimer
from shared.contracts.words import ClockState

BREACH, WARN, OVERDUE = "breach", "warn:", "overdue:"  # steps of timers; the last two have their share behind them


def composed(case: Case, derived: Derived, was: Clock | None, trust: bool = True) -> Clock:
    """The row of a clock. ``was``: as it stood; gives what was announced, and the version to go on from.

    ``trust``: it is as we composed it, from the inputs that it names; an audit does not take that for granted.

    What ended or broke keeps the deadline it was judged by, whatever time zone data say now.
    """
    firing = was.firing if was else Firing()
    told = was or case.gone.get(derived.id) or Gone(0, False)
    due_at, levels = derived.due_at, derived.levels
    other_data = was is not None and was.libraries != case.configuration.libraries
    if trust and was is not None and _same_inputs(derived, was):
        judged = was.ended or was.breached_at
        if due_at == was.due_at or (other_data and judged):
            return was
    late = derived.ended_at is not None and due_at is not None and derived.ended_at > due_at
    announced = firing.breach_fired_at
    broken = late or (derived.ended_at is None and announced and due_at is not None and due_at <= announced)
    if derived.ended_at is None:
        state = ClockState.BREACHED if broken else ClockState.RUNNING if due_at else ClockState.PAUSED
    elif announced and not late:
        state = ClockState.WITHDRAWN
    else:
        state = ClockState.MET if derived.met else ClockState.CANCELLED
    warned = next((each.at for each in levels if each.share == firing.warned_share), None)
    if warned is not None and firing.warned_fired_at is not None and warned > firing.warned_fired_at:
        warned = None  # that warning was about an earlier deadline than the one that holds
    over = firing.overdue_share if state is ClockState.BREACHED else None
    reached = next((each.at for each in levels if over is not None and each.share == 1 + over), None)
    said_of_it = was is not None and (was.overdue, was.due_at) == (over, due_at)  # a pause may move it since: not again
    if not said_of_it and (reached is None or firing.overdue_fired_at is None or reached > firing.overdue_fired_at):
        over = None  # it was said of an earlier deadline
    clock = Clock(
        id=derived.id,
        case_id=case.case_id,
        metric=derived.metric,
        instance=derived.instance,
        state=state,
        started_at=derived.started_at,
        terms=derived.promise.terms,
        promised_at=derived.promised_at,
        due_at=due_at,
        levels=levels,
        pauses=derived.pauses,
        team=derived.team,
        history=derived.history,
        libraries=case.configuration.libraries,
        ended_at=derived.ended_at,
        met_at=derived.ended_at if derived.met else None,
        breached_at=due_at if broken else firing.breached_at if state is ClockState.WITHDRAWN else None,
        warned_at=warned,
        overdue=over,
        earlier=derived.earlier,
        firing=firing,
        version=told.version,
        announced=told.announced,
    )
    return changed(clock, because=because(clock, derived.why))


def _same_inputs(derived: Derived, was: Clock) -> bool:
    """Whether these inputs made the clock as it stands; then only data of time zones could give another deadline."""
    return (
        was.started_at == derived.started_at
        and was.ended_at == derived.ended_at
        and (was.met_at is not None) == derived.met
        and was.terms == derived.promise.terms
        and was.promised_at == derived.promised_at
        and was.pauses == derived.pauses
        and was.earlier == derived.earlier
        and was.team == derived.team
        and was.history == derived.history
        and was.because.facts.get("ended", "") == derived.why
    )


def next_step(clock: Clock) -> SetTimer | None:
    """The timer that a running or broken clock waits for; None for any other."""
    warned = clock.firing.warned_share if clock.warned_at else None
    found = step_of(clock.state, clock.due_at, clock.levels, warned, clock.overdue)
    return None if found is None else SetTimer(clock.id, *found, clock.version)


def step_of(
    state: str, due_at: datetime | None, levels: Sequence[Level], warned: float | None, overdue: float | None
) -> tuple[str, datetime] | None:
    """The same of parts of a clock: the step and when it is due. ``warned``, ``overdue``: shares announced last."""
    if state == ClockState.BREACHED:
        for level in levels:
            if level.share > 1 + (overdue or 0.0) and level.at is not None:
                return f"{OVERDUE}{level.share - 1:g}", level.at
        return None
    if state != ClockState.RUNNING or due_at is None:
        return None
    for level in levels:
        if level.share < 1 and level.at is not None and (warned is None or level.share > warned):
            return f"{WARN}{level.share:g}", level.at
    return BREACH, due_at
