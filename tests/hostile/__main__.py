"""``make fuzz MINUTES=10``: every route, for longer than CI does. What it finds comes with a curl to repeat it."""

import argparse
import secrets
import sys

from tests.e2e.stack import Embedded
from tests.hostile.run import furnish, fuzz


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10_000))
    asked = parser.parse_args()
    with Embedded({"TOCSIN_LOG_LEVEL": "DEBUG"}) as stack:
        furnish(stack)
        for key, name in ((stack.key, "with-a-key"), (None, "without-a-key")):
            outcome = fuzz(stack, int(asked.minutes * 60), asked.seed, key, name)
            print(f"{name}, seed {asked.seed}: {'nothing found' if outcome.clean else outcome.told}", flush=True)
            if not outcome.clean:
                return 1
    return 0


sys.exit(main())
