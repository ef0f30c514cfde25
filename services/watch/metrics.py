"""What the watcher measures, in a registry of its own: no service of Tocsin has it."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
UP = Gauge("tocsin_watch_up", "1 where the last round succeeded", registry=REGISTRY)
SUCCEEDED = Gauge("tocsin_watch_last_success_timestamp_seconds", "When a page last came in time", registry=REGISTRY)
AGE = Histogram(
    "tocsin_watch_age_seconds",
    "From the post of a contact to the arrival of its page; its promise is one second",
    buckets=(1.025, 1.05, 1.1, 1.25, 1.5, 2, 3, 5, 10, 30, 60),
    registry=REGISTRY,
)
ROUNDS = Counter("tocsin_watch_rounds_total", "Rounds, by where they hung: none for those that succeeded", ["hop"],
                 registry=REGISTRY)  # fmt: skip
LEFT = Gauge("tocsin_watch_open_cases", "Cases of the watcher that are still to be closed", registry=REGISTRY)
