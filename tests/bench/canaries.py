"""Canaries whose truth is known, looked at again and again: how many go back by chance, how soon the bad ones do.

python -m tests.bench.canaries
"""

import random
from collections.abc import Iterator

from services.routing.lab import canary
from services.routing.lab.canary import CanaryReport, Seen, judge
from services.routing.spec import RollbackSpec

TERMS = RollbackSpec(minimum_cases=20, hand_offs_above=None, breaches_above=1.0)
EVERY = 10  # cases between two looks


def looks(seed: int, ours: float, theirs: float, share: float, cases: int) -> Iterator[tuple[int, CanaryReport]]:
    """After how many cases, and what is judged; ``ours`` and ``theirs`` are the true shares that break a promise."""
    chance = random.Random(seed)
    counts = {True: [0, 0], False: [0, 0]}
    for number in range(1, cases + 1):
        side = chance.random() < share
        counts[side][0] += 1
        counts[side][1] += chance.random() < (ours if side else theirs)
        if number % EVERY == 0:
            yield number, judge(TERMS, *(Seen(known=counts[s][0], breached=counts[s][1]) for s in (True, False)))


def gone_back(seeds: range, ours: float, theirs: float, share: float, cases: int) -> list[int]:
    """Of one canary a seed, those that went back: after how many cases."""
    found = (
        next((number for number, report in looks(seed, ours, theirs, share, cases) if report.broken), None)
        for seed in seeds
    )
    return [number for number in found if number is not None]


def main() -> None:
    print("rates (canary, control)  share  went back of 400, within 5,000 cases   median after (cases)")
    for ours, theirs, share in (
        (0.02, 0.02, 0.1), (0.1, 0.1, 0.2), (0.5, 0.5, 0.5),
        (0.15, 0.1, 0.2), (0.2, 0.1, 0.2), (0.3, 0.1, 0.2), (0.3, 0.1, 0.05),
    ):  # fmt: skip
        after = sorted(gone_back(range(400), ours, theirs, share, 5_000))
        median = str(after[len(after) // 2]) if after else "–"
        print(f"{ours:7.0%} {theirs:7.0%} {share:15.0%} {len(after):10} {median:>40}")
    plain, canary.radius = canary.radius, lambda variance, _cases: 1.96 * variance**0.5
    after = gone_back(range(400), 0.1, 0.1, 0.2, 5_000)
    canary.radius = plain
    print(f"\nby a plain 95 % interval, of 400 canaries as good as their control (10 %): {len(after)}")


if __name__ == "__main__":
    main()
