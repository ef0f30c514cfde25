"""``python -m tests.e2e.stopping POINT FILE MODULE``: run a service that stands still for good at a named point.

It writes FILE there, so that whoever waits can kill it, at exactly that place in the code.
"""

import runpy
import signal
import sys
from pathlib import Path

from shared import points


def main() -> None:
    point, said, module = sys.argv[1:4]

    async def stand_still(name: str) -> None:
        if name == point:
            Path(said).write_text(name)
            signal.pause()  # the whole process, not only this loop of it

    with points.install(stand_still):
        runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
