"""The tables of routing. Migrations are made from these."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.tables import platform_tables

metadata = MetaData()
_when = DateTime(timezone=True)

Table(
    "assignment",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("team", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("tags", JSONB, nullable=False),
    Column("ruleset_version", Integer, nullable=False),
    Column("rule", Text),
    Column("because", JSONB, nullable=False),
    Column("assigned_at", _when, nullable=False),
    Column("by", Text, nullable=False),
    Column("skills", JSONB, nullable=False, server_default="[]"),
    Column("language", Text),
    Column("person", Text),
    Column("waiting", Boolean, nullable=False, server_default="false"),
    Column("status", Text, nullable=False, server_default="open"),
    Column("active", Boolean, nullable=False, server_default="true"),
    Column("from_team", Text),
    Column("returns", Integer, nullable=False, server_default="0"),
    Column("fallen", JSONB, nullable=False, server_default="[]"),
    Index("assignment_waiting", "team", "assigned_at", "case_id", postgresql_where=text("waiting")),
    Index("assignment_bouncing", "assigned_at", "case_id", postgresql_where=text("active AND returns > 0")),
    Index("assignment_person", "team", "person", postgresql_where=text("active AND person IS NOT NULL")),
)
Table(
    "assignment_history",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("at", _when, nullable=False),
    Column("team", Text, nullable=False),
    Column("from_team", Text),
    Column("by", Text, nullable=False),
    Column("reason", Text),
    Column("because", JSONB, nullable=False),
    Column("person", Text),
)
Table(
    "desk",
    metadata,
    Column("team", Text, primary_key=True),
)
Table(
    "desk_turn",
    metadata,
    Column("team", Text, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("turn", BigInteger, nullable=False),
)
Table(
    "away",
    metadata,
    Column("person", Text, primary_key=True),
    Column("since", _when, nullable=False),
    Column("until", _when),
    Column("reason", Text),
    Column("by", Text, nullable=False),
)
Table(
    "linked_issue",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("url", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("title", Text),
    Column("by", Text, nullable=False),
    Column("updated_at", _when, nullable=False),
)
Table(
    "contact",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("at", _when, nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("erased", Boolean, nullable=False),
    Column("number", Text),  # of the case
    Index("contact_number", "number"),
    Index("contact_newest", text("at DESC"), text("case_id DESC")),
)
Table(
    "outcome",
    metadata,
    Column("clock_id", Uuid, primary_key=True),
    Column("case_id", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    Column("metric", Text, nullable=False),
    Column("instance", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("breached", Boolean, nullable=False),
    Column("team", Text),
    Column("started_at", _when, nullable=False),
    Column("due_at", _when),
    Column("at", _when, nullable=False),
    Index("outcome_case", "case_id"),
)
Table(
    "recent_contact",
    metadata,
    Column("contact_id", Uuid, primary_key=True),
    Column("case_id", Uuid, nullable=False),
    Column("customer", Text, nullable=False),
    Column("at", _when, nullable=False),
    Index("recent_contact_customer", "customer", "at", "contact_id"),
    Index("recent_contact_at", "at", "contact_id"),
    Index("recent_contact_case", "case_id"),
)
Table(
    "ruleset",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("document", JSONB, nullable=False),
    Column("author", Text, nullable=False),
    Column("note", Text),
    Column("created_at", _when, nullable=False),
    Column("activated_at", _when),
    Column("based_on", Integer),
    Column("wanted_at", _when),  # when every replica was asked to make it ready
    Index("ruleset_wanted", "wanted_at"),
    Index("ruleset_one_active", "state", unique=True, postgresql_where=text("state = 'active'")),
)
Table(
    "replica",
    metadata,
    Column("name", Text, primary_key=True),
    Column("seen_at", _when, nullable=False),
    Column("ready", ARRAY(Integer), nullable=False),  # versions of the ruleset
)
Table(
    "ruleset_audit",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("at", _when, nullable=False),
    Column("action", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("before", Integer),
    Column("by", Text, nullable=False),
    Column("key_id", Uuid),
    Column("address", Text),
    Column("reason", Text),
)
Table(
    "trial",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("control", Integer, nullable=False),  # the version that was active
    Column("state", Text, nullable=False),
    Column("restores", Text, nullable=False),  # the ruleset's state, unless it is promoted
    Column("terms", JSONB),  # of a canary
    Column("started_at", _when, nullable=False),
    Column("started_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ended_at", _when),
    Column("ended_by", Text),
    Column("ended_because", Text),
    Column("looked_at", _when),
    Column("report", JSONB),
    Index("trial_one_running", "kind", unique=True, postgresql_where=text("state = 'running'")),
    Index("trial_version", "version", "kind", "number"),
)
Table(  # of running trials: a shadow's are gone once they are compared
    "trial_case",
    metadata,
    Column("trial", BigInteger, primary_key=True),
    Column("case_id", Uuid, primary_key=True),
    Column("canary", Boolean, nullable=False),
    Column("fallback", Boolean, nullable=False),
    Column("at", _when, nullable=False),
    Index("trial_case_at", "trial", "at", "case_id"),
)
platform_tables(metadata)
