"""How many cases each team would get in every hour, under two rulesets. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

HOUR_S = 3_600
MAX_HOURS = 31 * 24  # of a series: the newest


class Load(BaseModel):
    """Cases of one team, before and after: in all, in its busiest hour, by hour of the day in UTC (on average of the
    days), and in every hour from the report's ``hours_from`` on."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    team: str
    before: int
    after: int
    busiest_hour_before: int
    busiest_hour_after: int
    by_hour_before: list[float]
    by_hour_after: list[float]
    hours_before: list[int]
    hours_after: list[int]


@dataclass(slots=True)
class Loads:
    """Counts as it goes."""

    _before: dict[str, Counter[int]] = field(default_factory=dict)  # by team, by hour since 1970
    _after: dict[str, Counter[int]] = field(default_factory=dict)

    def add(self, team_before: str, team_after: str, at: datetime) -> None:
        hour = int(at.timestamp()) // HOUR_S
        self._before.setdefault(team_before, Counter())[hour] += 1
        self._after.setdefault(team_after, Counter())[hour] += 1

    def told(self) -> tuple[datetime | None, list[Load]]:
        """Where the series begin, and the load of every team."""
        hours = {hour for counted in self._before.values() for hour in counted}
        if not hours:
            return None, []
        first, last = min(hours), max(hours)
        series = range(max(first, last - MAX_HOURS + 1), last + 1)
        days = last // 24 - first // 24 + 1
        made = []
        for team in sorted({*self._before, *self._after}):
            before, after = (counts.get(team, Counter()) for counts in (self._before, self._after))
            made.append(
                Load(
                    team=team, before=before.total(), after=after.total(),
                    busiest_hour_before=max(before.values(), default=0),
                    busiest_hour_after=max(after.values(), default=0),
                    by_hour_before=_by_hour(before, days), by_hour_after=_by_hour(after, days),
                    hours_before=[before[hour] for hour in series], hours_after=[after[hour] for hour in series],
                )
            )  # fmt: skip
        return datetime.fromtimestamp(series[0] * HOUR_S, UTC), made


def _by_hour(counted: Counter[int], days: int) -> list[float]:
    day = [0] * 24
    for hour, cases in counted.items():
        day[hour % 24] += cases
    return [round(cases / days, 2) for cases in day]
