"""Rotas as values: layers of people who take turns, overrides, and the shifts that follow from them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

OVERRIDE = "override"  # the layer of a shift that an override made


@dataclass(frozen=True, slots=True)
class Layer:
    """People who take turns. ``start`` is the first hand-off, naive, on the wall of the schedule's zone."""

    people: tuple[str, ...]
    start: datetime
    turn: timedelta


@dataclass(frozen=True, slots=True)
class Override:
    """``person`` is on call from ``start`` until ``end``, whatever the layers say. The later in order wins."""

    person: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Schedule:
    """Later layers win over earlier ones, from their first hand-off on."""

    zone: ZoneInfo
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Shift:
    """One person, without a break. ``layer`` counts from 1, or is ``override``; times are UTC, ``end`` is exclusive."""

    person: str
    layer: str
    start: datetime
    end: datetime
