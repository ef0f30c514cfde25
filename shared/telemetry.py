"""Logs, metrics and traces. Metrics follow Prometheus naming; traces follow W3C through the log, off by default."""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import structlog
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import Counter, Gauge, Histogram

FIRE_LAG = Histogram(
    "tocsin_fire_lag_seconds",
    "From the due time of a timer to the commit of its firing",
    ["service"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
CONSUMER_LAG = Gauge("tocsin_consumer_lag_events", "Events in the log that are not yet consumed", ["service", "topic"])
OUTBOX_AGE = Gauge("tocsin_outbox_age_seconds", "Age of the oldest message that waits to be published", ["service"])
OUTBOX_SIZE = Gauge("tocsin_outbox_events", "Messages that wait to be published", ["service"])
PARKED = Gauge("tocsin_parked_events", "Events that could not be decided and wait for a person", ["service"])
EVENTS_HANDLED = Counter("tocsin_events_handled_total", "Events taken from the log, once each", ["service", "topic"])
EVENTS_PUBLISHED = Counter("tocsin_events_published_total", "Events appended to the log", ["service"])
STEP_FAILURES = Counter("tocsin_step_failures_total", "Failed steps of a loop, each repeated", ["service", "loop"])
DELIVERIES = Counter("tocsin_deliveries_total", "Attempts to deliver a message", ["kind", "state"])
REDACTIONS = Counter("tocsin_redactions_total", "Things masked in what came in", ["kind"])
UNMATCHED = Counter("tocsin_activities_unmatched_total", "Activities that waited for a contact that never came")
WEBHOOKS = Counter("tocsin_webhooks_total", "Webhooks that came in, by what became of them", ["source", "outcome"])
PAGES = Gauge("tocsin_pages", "Pages that stand: open, acknowledged, or exhausted, which nobody heard", ["state"])
PROBLEMS = Gauge("tocsin_problems", "What is configured but cannot work, as GET /v1/problems lists it", ["kind"])
ON_CALL_GAP = Gauge("tocsin_on_call_gap_seconds", "Until nobody is on call; no sample where that is far", ["schedule"])
OVER_BUDGET = Counter("tocsin_mails_over_budget_total", "Mails kept as automatic: their sender sends too many")
TRIALS = Gauge("tocsin_trials_running", "Versions of the ruleset on trial: 1 where one runs", ["kind"])
SHADOW_CASES = Counter("tocsin_shadow_cases_total", "Cases for a shadow, by what became of them", ["outcome"])
CANARY_ROLLBACKS = Counter("tocsin_canary_rollbacks_total", "Canaries that went back by their own conditions")
HTTP_DURATION = Histogram(
    "tocsin_http_request_duration_seconds", "HTTP requests by route template", ["method", "route", "status"]
)
GROUP_QUEUE = Gauge("tocsin_group_queue_requests", "Requests that wait to be committed together", ["lane"])
GROUP_SIZE = Histogram(
    "tocsin_group_requests", "Requests of one commit", ["lane"], buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500)
)
GROUP_WAIT = Histogram(
    "tocsin_group_wait_seconds",
    "From a request's place in the queue to the begin of its commit",
    ["lane"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
GROUP_REFUSED = Counter(
    "tocsin_group_refused_total", "Requests told to repeat: queue full, or too late", ["lane", "why"]
)
GROUP_REPLAYS = Counter("tocsin_group_replays_total", "Groups repeated one by one, for bad data in them", ["lane"])

_tracer: trace.Tracer | None = None


@cache
def http_duration(method: str, route: str, status: int) -> Histogram:
    """Of one kind of request: looking it up costs more than using it."""
    return HTTP_DURATION.labels(method, route, str(status))


def count_redactions(counts: Mapping[str, int]) -> None:
    """How much of what was masked, by kind."""
    for kind, number in counts.items():
        REDACTIONS.labels(kind).inc(number)


def configure(service: str, level: str, otlp_endpoint: str | None) -> None:
    """Set up logging as JSON lines on stderr, and tracing where an endpoint is given."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.WARNING, force=True)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters reaches us as an exception, told once
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    if otlp_endpoint:
        trace_to(BatchSpanProcessor(OTLPSpanExporter(endpoint=otlp_endpoint)), service)


def trace_to(processor: SpanProcessor, service: str) -> None:
    """Trace from here on."""
    global _tracer
    provider = TracerProvider(resource=Resource.create({"service.name": f"tocsin-{service}"}))
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer("tocsin")


def traceparent() -> str | None:
    """The W3C ``traceparent`` of the current span, to be carried through the log."""
    if _tracer is None:
        return None
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")


def span(name: str, inputs: Sequence[Any] = (), parent: str | None = None) -> AbstractContextManager[None]:
    """A span that links to the spans of its inputs (a batch has many parents); nothing where tracing is off."""
    return _NO_SPAN if _tracer is None else _span(_tracer, name, inputs, parent)


_NO_SPAN = nullcontext()


@contextmanager
def _span(tracer: trace.Tracer, name: str, inputs: Sequence[Any], parent: str | None) -> Iterator[None]:
    links = []
    for each in inputs:
        if each.traceparent:
            sender = propagate.extract({"traceparent": each.traceparent})
            links.append(trace.Link(trace.get_current_span(sender).get_span_context()))
    context = propagate.extract({"traceparent": parent}) if parent else None
    with tracer.start_as_current_span(name, context=context, links=links[:128]):
        yield
