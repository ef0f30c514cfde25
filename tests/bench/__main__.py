"""``python -m tests.bench``: every benchmark, one after the other, and a JSON that names the machine.

Each part is a program of its own that prints its table and, as its last line, its figures as JSON. ``--only rules
accept`` runs some of them; ``--out`` says where the JSON goes.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC
from pathlib import Path
from typing import Any

from shared.clock import SystemClock
from tests.e2e.programs import ROOT, python

PARTS = {
    "rules": ["tests.bench.rules"],
    "uploads": ["tests.bench.uploads"],
    "accept": ["tests.bench.accept"],
    "embedded": ["tests.bench.whole"],
    "kafka": ["tests.bench.whole", "--kafka"],
    "clocks": ["tests.bench.clocks"],
    "backtest": ["tests.bench.backtest"],
    "pipeline": ["tests.bench.pipeline"],
    "notify": ["tests.bench.notify"],
    "storm": ["tests.bench.storm", "--kafka"],
    "history": ["tests.bench.history"],
    "replicas": ["tests.bench.replicas"],
    "recovery": ["tests.bench.recovery"],
}


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    about = Path("/proc/cpuinfo")
    models = {line.partition(":")[2].strip() for line in _lines(about) if line.startswith("model name")}
    memory = next((line.split()[1] for line in _lines(Path("/proc/meminfo")) if line.startswith("MemTotal")), "0")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "at": SystemClock().now().astimezone(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "cpu": ", ".join(sorted(models)) or platform.processor(),
        "cores": os.cpu_count(),
        "memory_mb": int(memory) // 1024,
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def measured(name: str) -> dict[str, Any]:
    """One part: its figures, how long it took, and whether it ended as it should."""
    print(f"\n== {name}: python -m {' '.join(PARTS[name])}", flush=True)
    began, last = time.monotonic(), ""
    with subprocess.Popen(python("-m", *PARTS[name]), cwd=ROOT, stdout=subprocess.PIPE, text=True) as part:
        for line in part.stdout or ():
            last = line
            if not line.startswith(("{", "[")):
                print(line, end="", flush=True)
    try:
        figures = json.loads(last)
    except ValueError:
        figures = None
    return {"figures": figures, "seconds": round(time.monotonic() - began), "exit": part.returncode}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure Tocsin.")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--out", type=Path, default=ROOT / "bench.json")
    asked = parser.parse_args()
    found: dict[str, Any] = {"machine": machine(), "parts": {}}
    for name in asked.only:
        found["parts"][name] = measured(name)
        asked.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\n{json.dumps(found['machine'])}\nAll figures are in {asked.out}.")
    sys.exit(any(each["exit"] not in (0, 1) for each in found["parts"].values()))


if __name__ == "__main__":
    main()
