"""Schemathesis, with all its checks, over every route of a running Tocsin.

No error of ours, no answer that the document does not name, no document refused that fits its schema or accepted that
does not, nothing without a key.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tests.e2e import scene
from tests.e2e.client import JSON
from tests.e2e.programs import Program, python
from tests.e2e.stack import Stack

CONFIGURED = Path(__file__).with_name("schemathesis.toml")
GRACE_S = 60.0  # for what is under way when the time is over
WEBHOOK_SECRET = "whsec_" + "c2VjcmV0IG9mIGEgd2ViaG9vayBvZiB0aGUgZnV6eg" + "=="
SOURCE_SECRET = "whsec_" + "c2VjcmV0IG9mIGEgc291cmNlIG9mIHRoZSBmdXp6" + "IQ=="
PAGER_SECRET = "routingkeyofthefuzz0123456789"


@dataclass(frozen=True)
class Outcome:
    clean: bool
    told: str


def furnish(stack: Stack) -> None:
    """Enough in it for ids and names to be met: a scene, contacts that are overdue, and a destination that fails."""
    tocsin = stack.client()
    scene.set_up(tocsin)
    tocsin.put("/v1/sources/desk", {"kind": "standard", "secrets": [SOURCE_SECRET]})
    nobody: JSON = {"kind": "webhook", "url": "https://nobody.invalid/hook", "secret": WEBHOOK_SECRET}
    tocsin.put("/v1/destinations/nobody", nobody)
    tocsin.put("/v1/destinations/pager", {"kind": "pagerduty", "secret": PAGER_SECRET, "url": "https://nobody.invalid"})
    steps = [{"notify": [{"destination": "nobody"}, {"destination": "pager"}]}]
    tocsin.put("/v1/escalation-policies/nobody-hears", {"teams": ["frontline"], "steps": steps})
    yesterday = (scene.now() - timedelta(days=1)).isoformat()
    for number in range(3):
        tocsin.post("/v1/contacts", scene.question(external_id=f"fuzz-{number}", occurred_at=yesterday))


def fuzz(stack: Stack, seconds: int, seed: int, key: str | None, name: str, *more: str) -> Outcome:
    """Every service's document; ``key`` None: without one; ``more`` options of ``st run``."""
    outcomes = []
    for number, base in enumerate(stack.documents()):
        command = [
            *(*python("-m", "schemathesis.cli"), "--config-file", str(CONFIGURED), "run", f"{base}/openapi.json"),
            # All checks are on unless the configuration turns one off; `--checks all` would overrule it.
            *("--max-time", str(seconds), "--seed", str(seed), "--no-color"),
            *("--generation-database", "none", "--warnings", "off", *more),
            *(("--header", f"Authorization: Bearer {key}") if key else ("--phases", "examples,coverage")),
        ]
        program = Program(f"{name}-{number}", command, stack.folder, {})
        program.start()
        ended = program.wait(seconds + GRACE_S)
        told = program.log.read_text(errors="replace")
        clean = ended and "ended with status 0" in (program.died() or "")
        program.stop()
        outcomes.append(Outcome(clean, told))
    return Outcome(all(each.clean for each in outcomes), "\n".join(each.told for each in outcomes if not each.clean))
