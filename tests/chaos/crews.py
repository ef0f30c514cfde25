"""The teams of a crash test: enough channels and mailboxes that no provider's limit is what is measured."""

from datetime import timedelta

from tests.e2e import scene
from tests.e2e.client import Client

CREWS = tuple(f"crew-{number:02}" for number in range(20))
PROMISE = timedelta(seconds=3)
NEXT_AFTER = timedelta(seconds=2)


def set_up(tocsin: Client) -> None:
    """Half of the crews are told in Slack, half by mail; then the person on call by mail."""
    for number, crew in enumerate(CREWS):
        tocsin.put(f"/v1/teams/{crew}", {})
        tocsin.put(f"/v1/people/{crew}-lead", {"email": f"lead@{crew}.example"})
        first = (
            {"kind": "slack", "channel": f"#{crew}"}
            if number % 2
            else {"kind": "email", "to": [f"all@{crew}.example"], "digest": False}
        )
        tocsin.put(f"/v1/destinations/{crew}", first)
        steps = [
            {"notify": [{"destination": crew}]},
            {"after": scene.seconds(NEXT_AFTER), "notify": [{"person": f"{crew}-lead"}]},
        ]
        repeat = {"every": "PT3S", "times": 0}
        tocsin.put(f"/v1/escalation-policies/{crew}", {"teams": [crew], "steps": steps, "repeat": repeat})
    scene.route(tocsin, CREWS)
    scene.promise(tocsin, PROMISE)
