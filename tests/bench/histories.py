"""Synthetic histories of cases whose outcome under another routing is known. Seeded."""

import random

from services.routing.lab.forecast import Cell, Change, Seen, forecast

TEAMS, PRIORITIES = ("payments", "sales", "frontline", "engineering"), ("normal", "high")


def history(seed: int) -> tuple[Change, int]:
    """A forecast, and what then happened to the same cases in the teams where the draft sends them.

    Teams differ, priorities differ, and the cases that move are harder or easier than others; each case is one throw.
    """
    chance = random.Random(seed)
    base = chance.uniform(-2.5, -0.8)
    slow = {team: chance.gauss(0, 0.6) for team in TEAMS}
    urgent = {"normal": 0.0, "high": chance.gauss(0.4, 0.3)}
    hard = chance.gauss(0, 0.4)  # of the cases that move

    def breaks(cell: Cell, more: float = 0.0) -> int:
        odds = 2.718281828 ** (base + slow[cell[0]] + urgent[cell[1]] + more)
        return chance.random() < odds / (1 + odds)

    seen: dict[Cell, Seen] = {}
    moved: dict[tuple[Cell, Cell], Seen] = {}
    change = 0
    for team in TEAMS:
        for priority in PRIORITIES:
            cell, size = (team, priority), chance.randint(20, 400)
            to = (chance.choice([each for each in TEAMS if each != team]), chance.choice(PRIORITIES))
            moving = chance.randint(0, size // 2) if chance.random() < 0.4 else 0
            was = [breaks(cell, hard if n < moving else 0.0) for n in range(size)]
            seen[cell] = Seen(size, sum(was))
            if moving:
                moved[cell, to] = Seen(moving, sum(was[:moving]))
                change += sum(breaks(to, hard) for _ in range(moving)) - sum(was[:moving])
    return forecast(seen, moved), change
