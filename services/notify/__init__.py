"""Notify: the right person knows, once, in time, and can act from the message."""

from shared.batch import Card

CARD = Card(
    name="notify",
    owns="people, destinations, schedules, escalation policies, pages, deliveries, silences",
    consumes=("clocks", "assignments", "contacts"),
    publishes="pages",
)
