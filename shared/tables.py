"""The tables that every service has in its own schema, for the mechanisms of ``shared``."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

_WHEN = DateTime(timezone=True)
# Rows come and go: vacuum often, or the index's head fills with those that are gone.
_QUEUE = {
    "autovacuum_vacuum_scale_factor": 0.01,
    "autovacuum_vacuum_threshold": 5000,
    "autovacuum_vacuum_insert_scale_factor": 0.2,
    "autovacuum_vacuum_cost_delay": 1,
}


def platform_tables(metadata: MetaData) -> None:
    """Add the tables that every service has, for the mechanisms of ``shared``, to a service's metadata."""
    _wire(metadata)
    _time_and_trouble(metadata)
    _requests(metadata)
    acts(metadata)


def _wire(metadata: MetaData) -> None:
    """Locks of cases, events taken and told, who publishes them, and how far was read."""
    Table(
        "case_lock",
        metadata,
        Column("case_id", Uuid, primary_key=True),
        Column("sequence", BigInteger, nullable=False, server_default="0"),
        info={"storage": {"fillfactor": 50}},  # every row of a page may move at once
    )
    Table(
        "inbox",
        metadata,
        Column("event_id", Uuid, primary_key=True),
        Column("topic", Text, nullable=False),
        Column("claimed_at", _WHEN, nullable=False),
        Index("inbox_claimed_at", "claimed_at"),
    )
    Table(
        "inbox_forgotten",
        metadata,
        Column("topic", Text, primary_key=True),
        Column("events", BigInteger, nullable=False),
    )
    Table(
        "outbox",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("bucket", SmallInteger, nullable=False),
        Column("case_id", Uuid, nullable=False),
        Column("headers", JSONB, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("written_at", _WHEN, nullable=False),
        Index("outbox_bucket", "bucket", "id"),
        info={"storage": _QUEUE},
    )
    Table(
        "lease",
        metadata,
        Column("name", Text, primary_key=True),
        Column("owner", Text, nullable=False),
        Column("epoch", BigInteger, nullable=False),
        Column("until", _WHEN, nullable=False),
    )
    Table(
        "progress",
        metadata,
        Column("topic", Text, primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("position", BigInteger, nullable=False),
    )


def _time_and_trouble(metadata: MetaData) -> None:
    """What waits: for its time, or for a person."""
    Table(
        "timer",
        metadata,
        Column("subject", Uuid, primary_key=True),
        Column("step", Text, primary_key=True),
        Column("due_at", _WHEN, nullable=False),
        Column("case_id", Uuid, nullable=False),
        Column("partition", SmallInteger, nullable=False),
        Column("version", Integer, nullable=False),
        Index("timer_due", "due_at", "subject", "step"),
        info={"storage": _QUEUE},
    )
    Table(
        "parked",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("case_id", Uuid, nullable=False),
        Column("topic", Text, nullable=False),  # "timer" for a timer that could not be decided
        Column("partition", Integer, nullable=False),
        Column("position", BigInteger, nullable=False),
        Column("event_id", Uuid),
        Column("headers", JSONB, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("error", Text, nullable=False),
        Column("parked_at", _WHEN, nullable=False),
        Index("parked_case", "case_id", "id"),
    )
    Table(
        "parked_dropped",
        metadata,
        Column("id", BigInteger, primary_key=True),
        Column("case_id", Uuid, nullable=False),
        Column("topic", Text, nullable=False),
        Column("event_id", Uuid),
        Column("error", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("dropped_at", _WHEN, nullable=False),
    )


def _requests(metadata: MetaData) -> None:
    """Requests answered before, and what admins configured."""
    Table(
        "idempotency",
        metadata,
        Column("principal", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("status", SmallInteger),
        Column("answer", JSONB),
        Column("expires_at", _WHEN, nullable=False),
        Index("idempotency_expires_at", "expires_at"),
    )
    Table(
        "configuration",
        metadata,
        Column("one", Boolean, primary_key=True, server_default="true"),
        Column("version", BigInteger, nullable=False),
    )
    Table(
        "resource",
        metadata,
        Column("kind", Text, primary_key=True),
        Column("name", Text, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("body", JSONB, nullable=False),
        Column("updated_at", _WHEN, nullable=False),
        Column("updated_by", Text, nullable=False),
    )
    Table(
        "resource_version",
        metadata,
        Column("kind", Text, primary_key=True),
        Column("name", Text, primary_key=True),
        Column("version", Integer, primary_key=True),
        Column("body", JSONB),  # null: deleted
        Column("updated_at", _WHEN, nullable=False),
        Column("updated_by", Text, nullable=False),
    )


def acts(metadata: MetaData) -> Table:
    """Who did what, when, from where."""
    return Table(
        "audit",
        metadata,
        Column("number", BigInteger, Identity(always=True), primary_key=True),
        Column("at", _WHEN, nullable=False),
        Column("act", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("by", Text, nullable=False),
        Column("via", Text, nullable=False),
        Column("key", Text),
        Column("key_id", Uuid),
        Column("address", Text),
        Column("request_id", Text),
        Column("reason", Text),
        Column("facts", JSONB, nullable=False),
        Index("audit_at", "at", "number"),
    )
