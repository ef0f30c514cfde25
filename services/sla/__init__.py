"""sla: keeps every promise made to a customer as a clock."""

from shared.batch import Card

CARD = Card(
    name="sla",
    owns="calendars, policies, clocks",
    consumes=("contacts", "assignments", "pages"),
    publishes="clocks",
)
