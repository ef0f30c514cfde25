"""Notify: the right person knows, once, in time, and can act from the message."""

from shared.batch import Card

CARD = Card(
    name="notify",
    owns="people, destinations, schedules, escalation policies, pages, deliveries, silences",
    consumes=("clocks", "assignments", "contacts"),
    publishes="pages",
    relay_rest_s=0.03,  # nobody waits for what it tells but clocks of minutes
)
