"""Runs a folder of ``.eml`` files through the email channel: ``python -m tests.emails FOLDER [--show]``.

Prints one line for each outcome with its count, and the slowest mail. ``--show`` prints what was read of each.
"""

import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from services.intake import channels
from services.intake.channels.adapter import Received, Rejected
from services.intake.model import Contact

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


def outcome_of(raw: bytes) -> tuple[str, Contact | None]:
    outcome = channels.read("email", raw, Received(AT))
    if isinstance(outcome, Rejected):
        return f"quarantined: {outcome.reason}", outcome.salvage
    if outcome.automated:
        return "contact, automatic", outcome
    return "contact", outcome


def main(folder: str, show: bool) -> int:
    counts: Counter[str] = Counter()
    slowest = (0.0, "")
    for path in sorted(each for each in Path(folder).rglob("*") if each.is_file() and each.suffix.lower() == ".eml"):
        began = perf_counter()
        outcome, contact = outcome_of(path.read_bytes())
        slowest = max(slowest, (perf_counter() - began, str(path)))
        counts[outcome] += 1
        if show:
            print(f"=== {path}: {outcome}")
            print(contact.model_dump_json(indent=1, exclude_none=True) if contact else "nothing of it can be read")
    total = sum(counts.values())
    for outcome, count in counts.most_common():
        print(f"{count:6d}  {count / total:6.1%}  {outcome}")
    print(f"{total:6d} mails, the slowest in {slowest[0] * 1000:.0f} ms: {slowest[1]}")
    return 0 if total else 1


if __name__ == "__main__":
    arguments = [each for each in sys.argv[1:] if each != "--show"]
    sys.exit(main(arguments[0], "--show" in sys.argv) if len(arguments) == 1 else (__doc__ or ""))
