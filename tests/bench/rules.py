"""``python -m tests.bench.rules``: a thousand rules on one core, without I/O, against the plain loop over them; and for
how long hostile rules hold the loop.

Time is the processor's: what else runs on the machine does not count.

Prints a row per target with its verdict; the exit code is 1 where one is missed or a decision differs.
"""

import json
import statistics
import sys
import time

from services.routing import rules
from services.routing.model import Compiled, ContactFacts
from services.routing.rules.facts import ENVIRONMENT, values
from tests.bench import thousand
from tests.unit.routing import test_hostile

RULES, CONTACTS, SLICE = 1_000, 10_000, 250  # of each slice both ways are timed, so that a busy machine hits both
Decided = tuple[str | None, str, str, tuple[str, ...]]


def plain(compiled: Compiled, contact: ContactFacts) -> Decided:
    """What the rules say, evaluated one after another: all of them, for tags come from every match."""
    activation = ENVIRONMENT.activation(values(contact))
    hits = [rule.spec for rule in compiled.rules if rule.condition.evaluate(activation).holds]
    fallback = compiled.fallback
    if not hits:
        return None, fallback.team, fallback.priority, ()
    tags = tuple(dict.fromkeys(tag for hit in hits for tag in hit.then.tags))
    return hits[0].id, hits[0].then.team, hits[0].then.priority or fallback.priority, tags


def indexed(compiled: Compiled, contact: ContactFacts) -> Decided:
    """What routing says, its ``because`` made too."""
    found = rules.match(compiled, contact)
    return found.rule, found.team, found.priority, found.tags


def longest_hold() -> float:
    """Milliseconds of the longest thing done at once: check a hostile rule, decide or explain the worst contact."""
    contacts = [test_hostile.worst_contact(body) for body in test_hostile.BODIES]
    took = []
    for when in [refused[1] for refused in test_hostile.REFUSED] + test_hostile.ACCEPTED:
        began = time.process_time()
        try:
            compiled = test_hostile.upload(when)
        except rules.RulesetError:
            continue
        finally:
            took.append(time.process_time() - began)
        for contact in contacts:
            for step in (rules.match, rules.explain):
                began = time.process_time()
                step(compiled, contact)
                took.append(time.process_time() - began)
    return 1_000 * max(took)


def main() -> None:
    compiled = rules.compile(1, thousand.ruleset(seed=1, size=RULES))
    contacts = list(thousand.contacts(CONTACTS, seed=2))
    differing, fast, slow = 0, [], []
    for start in range(0, CONTACTS, SLICE):
        some = contacts[start : start + SLICE]
        began = time.process_time()
        ours = [indexed(compiled, each) for each in some]
        between = time.process_time()
        theirs = [plain(compiled, each) for each in some]
        slow.append((time.process_time() - between) / SLICE)
        fast.append((between - began) / SLICE)
        differing += sum(one != other for one, other in zip(ours, theirs, strict=True))
    times = statistics.median(one / other for one, other in zip(slow, fast, strict=True))
    a_second = 1 / statistics.median(fast)
    hold = longest_hold()
    rows = [
        ("contacts decided otherwise", differing, "0", differing == 0),
        ("times the plain loop", times, "10 or more", times >= 10),
        ("contacts a second", a_second, "10,000 or more", a_second >= 10_000),
        ("hostile: longest hold, ms", hold, "50 or less", hold <= 50),
    ]
    print(f"{RULES:,} rules, {CONTACTS:,} contacts, medians of {CONTACTS // SLICE} slices")
    for name, figure, target, met in rows:
        print(f"  {name:<32} {figure:>10,.1f}   target {target:<16} {'met' if met else 'MISSED'}")
    print(json.dumps({"kind": "rules", **{name: figure for name, figure, *_ in rows}}))
    sys.exit(0 if all(met for *_, met in rows) else 1)


if __name__ == "__main__":
    main()
