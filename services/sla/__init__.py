"""sla: keeps every promise made to a customer as a clock."""

from shared.batch import Card
from shared.contracts import pages
from shared.contracts.assignments import CaseTaken

CARD = Card(
    name="sla",
    owns="calendars, policies, clocks",
    consumes=("contacts", "assignments", "pages"),
    publishes="clocks",
    passes_over=(
        CaseTaken,
        pages.PageOpened,
        pages.PageEscalated,
        pages.PageSent,
        pages.PageFailed,
        pages.HandoverAsked,
        pages.PageResolved,
        pages.PageExhausted,
    ),
)
