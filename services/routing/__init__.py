"""Routing: places every case with a team, once, by the rules that an admin wrote, and says why."""

from shared.batch import Card

CARD = Card(
    name="routing",
    owns="teams, rulesets, assignments",
    consumes=("contacts", "pages", "clocks"),
    publishes="assignments",
)
