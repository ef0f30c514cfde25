"""The tables of sla."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    Interval,
    MetaData,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.tables import platform_tables

metadata = MetaData()
platform_tables(metadata)

_when = DateTime(timezone=True)

case_facts = Table(
    "case_facts",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("number", Text),  # null until the contact that opened the case is known
    Column("opening", JSONB),
    Column("facts", JSONB, nullable=False),
    Column("folded", JSONB),
    Column("gone", JSONB, nullable=False),
    Column("gone_announced", Integer, nullable=False),  # how many of those were warned or broken, for the ledger
    Column("owed", Integer, nullable=False),  # spans in which something is owed: a new policy may promise it
    Column("planned_with", BigInteger),
    Column("words", JSONB),  # what a message says, ready for when a timer fires
    Index("case_facts_number", "number"),
    Index("case_facts_owed", "case_id", postgresql_where=text("owed > 0")),
    info={"storage": {"fillfactor": 80}},
)

clock = Table(
    "clock",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("case_id", Uuid, nullable=False),
    Column("metric", Text, nullable=False),
    Column("instance", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_at", _when, nullable=False),
    Column("due_at", _when),  # null while paused
    Column("warned_at", _when),
    Column("breached_at", _when),
    Column("met_at", _when),
    Column("ended_at", _when),
    Column("team", Text),
    Column("history", Boolean, nullable=False),
    Column("policy", Text),  # null for `unassigned`, which is ours
    Column("policy_version", Integer),
    Column("calendar", Text, nullable=False),
    Column("calendar_version", Integer, nullable=False),
    Column("zone", Text, nullable=False),
    Column("within", Interval, nullable=False),
    Column("warn_at", JSONB, nullable=False),
    Column("overdue_at", JSONB, nullable=False, server_default="[]"),
    Column("pause_on", JSONB, nullable=False),
    Column("promised_at", _when, nullable=False),
    Column("levels", JSONB, nullable=False),
    Column("pauses", JSONB, nullable=False),
    Column("warned_share", Float),  # the next four: what timers announced, right or wrong
    Column("warned_fired_at", _when),
    Column("breach_announced_at", _when),
    Column("breach_fired_at", _when),
    Column("overdue", Float),
    Column("overdue_share", Float),
    Column("overdue_fired_at", _when),
    Column("earlier", JSONB, nullable=False, server_default="[]"),  # promises that others took the place of
    Column("announced", Boolean, nullable=False),
    Column("libraries", Text, nullable=False),
    Column("because", JSONB, nullable=False),
    Column("version", Integer, nullable=False),
    Index("clock_case", "case_id", "metric", "instance", unique=True),
    Index("clock_started", "started_at", "id"),
    Index("clock_open", "started_at", "id", postgresql_where=text("ended_at IS NULL")),
    Index("clock_team", "team", "started_at", "id"),
    Index("clock_calendar", "calendar", "case_id", postgresql_where=text("ended_at IS NULL")),
    Index("clock_due", "due_at", "id", postgresql_where=text("ended_at IS NULL AND due_at IS NOT NULL")),
    Index("clock_team_due", "team", "due_at", "id", postgresql_where=text("ended_at IS NULL")),
    # What a timer changes is in no index, so that it writes one row where it stands.
    info={"storage": {"fillfactor": 75}},
)

replan = Table(
    "replan",
    metadata,
    Column("version", BigInteger, primary_key=True),  # of the configuration
    Column("configured", JSONB, nullable=False),  # versions of all objects then
    Column("calendars", ARRAY(Text)),  # null: every case with an open clock; else only those that use one of them
    Column("after", Uuid, nullable=False),  # cases up to this one are done
    Column("cases", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("started_at", _when, nullable=False),
    Column("moved_at", _when, nullable=False),
    Column("finished_at", _when),
)

libraries = Table(
    "libraries",
    metadata,
    Column("one", Boolean, primary_key=True, server_default="true"),
    Column("versions", Text, nullable=False),  # of the data that open clocks were counted with
)

taken_effect = Table(
    "taken_effect",
    metadata,
    Column("one", Boolean, primary_key=True, server_default="true"),
    Column("until", _when, nullable=False),  # policies that took effect up to then have moved the configuration
)
