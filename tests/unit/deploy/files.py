"""Reads what is under ``deploy/`` and ``docker-compose.yml``, for the tests of them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import REGISTRY

from shared.settings import PREFIX, Settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
SERVICES = ("intake", "routing", "sla", "notify")

_PINNED = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+[\w.-]*")
_METRIC = re.compile(r"\btocsin_[a-z_]+")


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every Kubernetes object, with the file it is in."""
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for each in yaml.safe_load_all(path.read_text()):
            yield path.name, each


def kustomization() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
    return found


def pinned(image: str) -> bool:
    """Whether an image has a version of at least two numbers."""
    return _PINNED.fullmatch(image) is not None


def is_setting(name: str) -> bool:
    """Whether an environment variable is one that the settings read."""
    field = name.removeprefix(PREFIX).lower()
    return name.startswith(PREFIX) and (
        field in Settings.model_fields or field.removesuffix("_file") in Settings.model_fields
    )


def metrics_in(text: str) -> set[str]:
    return set(_METRIC.findall(text))


def metrics_we_have() -> set[str]:
    """Names as Prometheus sees them, of everything that the code measures."""
    from services.watch import metrics as of_the_watcher
    from shared import telemetry  # registers them

    assert telemetry.PARKED
    found = set()
    for metric in [*REGISTRY.collect(), *of_the_watcher.REGISTRY.collect()]:
        if metric.name.startswith("tocsin_"):
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(metric.type, [""])
            found |= {metric.name + suffix for suffix in suffixes}
    return found
