"""Routing: places every case with a team, once, by the rules that an admin wrote, and says why."""

from shared.batch import Card
from shared.contracts import clocks, pages

CARD = Card(
    name="routing",
    owns="teams, rulesets, assignments",
    consumes=("contacts", "pages", "clocks"),
    publishes="assignments",
    passes_over=(
        pages.PageOpened,
        pages.PageEscalated,
        pages.PageSent,
        pages.PageFailed,
        pages.PageAcknowledged,
        pages.PageResolved,
        pages.PageExhausted,
        clocks.ClockStarted,
        clocks.ClockPaused,
        clocks.ClockResumed,
        clocks.ClockRescheduled,
        clocks.ClockWarned,
        clocks.ClockOverdue,
    ),
    unhurried=(clocks.ClockBreached, clocks.ClockMet, clocks.ClockCancelled, clocks.ClockWithdrawn),  # for the lab
)
