"""A process that posts contacts at a steady pace: ``python -m tests.bench.paced --url URL --seconds 20``.

The key comes from ``TOCSIN_ADMIN_KEY``. Its last line is JSON: how many were accepted, and how long each took.
"""

import argparse
import json
import os
import time

import uvloop

from tests.bench.accept import bodies
from tests.bench.figures import quantile
from tests.bench.wire import paced


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--a-second", type=float, default=1_000)
    asked = parser.parse_args()
    found = uvloop.run(
        paced(
            f"{asked.url}/v1/contacts",
            os.environ["TOCSIN_ADMIN_KEY"],
            bodies(f"paced-{time.monotonic_ns()}"),
            asked.a_second,
            asked.seconds,
        )
    )
    assert not found.refused, found.refused[:2]
    print(json.dumps({"a_second": found.a_second, "p99_ms": quantile(found.latencies, 99)}))


if __name__ == "__main__":
    main()
