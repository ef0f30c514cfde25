"""The tables of intake."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
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
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.tables import platform_tables

FIRST_CASE_NUMBER = 1_000

metadata = MetaData()
platform_tables(metadata)

_when = DateTime(timezone=True)

case_file = Table(
    "case_file",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("number", BigInteger, Identity(start=FIRST_CASE_NUMBER), nullable=False, unique=True),
    Column("channel", Text, nullable=False),
    Column("source", Text),
    Column("thread", Text),
    Column("url", Text),
    Column("subject", Text, nullable=False),
    Column("customer", JSONB, nullable=False),
    Column("customer_id", Text),
    Column("customer_email", Text),
    Column("customer_phone", Text),
    Column("participants", JSONB, nullable=False),
    Column("opened_at", _when, nullable=False),
    Column("status", Text, nullable=False),  # follows from the next four and merged_into
    Column("said", Text, nullable=False),
    Column("said_at", _when),
    Column("contacted_at", _when),
    Column("handled_at", _when),
    Column("follows", Uuid),
    Column("merged_into", Uuid),
    Column("updated_at", _when, nullable=False),
    Index("case_file_status", "status", "number"),
    Index("case_file_follows", "follows", postgresql_where=text("follows IS NOT NULL")),
    Index("case_file_customer_id", "customer_id", "number", postgresql_where=text("customer_id IS NOT NULL")),
    Index("case_file_customer_email", "customer_email", "number", postgresql_where=text("customer_email IS NOT NULL")),
    Index("case_file_customer_phone", "customer_phone", "number", postgresql_where=text("customer_phone IS NOT NULL")),
    Index("case_file_merged_into", "merged_into", postgresql_where=text("merged_into IS NOT NULL")),
)

contact = Table(
    "contact",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("case_id", Uuid, nullable=False),
    Column("opened_case", Boolean, nullable=False),
    Column("channel", Text, nullable=False),
    Column("source", Text),
    Column("external_id", Text),
    Column("thread", Text),
    Column("url", Text),
    Column("occurred_at", _when, nullable=False),
    Column("stated_at", Text),
    Column("received_at", _when, nullable=False),
    Column("customer", JSONB, nullable=False),
    Column("customer_id", Text),
    Column("customer_email", Text),
    Column("customer_phone", Text),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("quoted", Text, nullable=False, server_default=""),
    Column("signature", Text, nullable=False, server_default=""),
    Column("language", Text),
    Column("reason", Text),
    Column("tags", JSONB, nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("attachments", JSONB, nullable=False),
    Column("mail", JSONB),
    Column("automated", Text),
    Column("history", Boolean, nullable=False),
    Column("redactions", JSONB, nullable=False),
    Column("remarks", JSONB, nullable=False),
    Column("because", JSONB, nullable=False),
    Column("erased_at", _when),
    Index("contact_case", "case_id", "occurred_at", "id"),
    Index("contact_occurred", "occurred_at", postgresql_using="brin"),  # costs an insert nothing
    Index("contact_customer_id", "customer_id", postgresql_where=text("customer_id IS NOT NULL")),
    Index("contact_customer_email", "customer_email", postgresql_where=text("customer_email IS NOT NULL")),
    Index("contact_customer_phone", "customer_phone", postgresql_where=text("customer_phone IS NOT NULL")),
)

activity = Table(
    "activity",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("case_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("occurred_at", _when, nullable=False),
    Column("stated_at", Text),
    Column("received_at", _when, nullable=False),
    Column("source", Text),
    Column("thread", Text),
    Column("external_id", Text),
    Column("actor", Text),
    Column("public", Boolean, nullable=False),
    Column("automated", Boolean, nullable=False),
    Column("status", Text),
    Column("priority", Text),
    Column("tags", JSONB),
    Column("score", SmallInteger),
    Column("scale", SmallInteger),
    Column("text", Text, nullable=False),
    Column("history", Boolean, nullable=False),
    Column("reason", Text),
    Column("attributes", JSONB, nullable=False, server_default="{}"),
    Index("activity_case", "case_id", "occurred_at", "id"),
)

waiting_activity = Table(  # of a thread whose first contact has not come yet
    "waiting_activity",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("source", Text, nullable=False),
    Column("thread", Text, nullable=False),
    Column("received_at", _when, nullable=False),
    Column("activity", JSONB, nullable=False),
    Index("waiting_activity_thread", "source", "thread", "received_at", "id"),
    Index("waiting_activity_received", "received_at", "id"),
)

claim = Table(  # who owns a name: threads.py says which names there are
    "claim",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("case_id", Uuid),  # where a trail leads; null while only activities know the thread
    Column("subject_id", Uuid),  # the contact or activity that a mark belongs to
    Column("fingerprint", LargeBinary),
    Column("claimed_at", _when, nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("received_at", _when, nullable=False),
    Column("channel", Text, nullable=False),
    Column("source", Text),
    Column("mailbox", Text, nullable=False),
    Column("sender", Text),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("raw", LargeBinary),  # only where it could be redacted
    Column("sha256", LargeBinary),  # only where it could not: beside a redacted text it would give the digits away
    Column("salvage", JSONB),  # what a release makes a contact of
    Column("state", Text, nullable=False),  # open, released, dropped
    Column("settled_at", _when),
    Column("settled_by", Text),
    Column("settled_why", Text),
    Column("contact_id", Uuid),
    Index("quarantine_state", "state", "received_at", "id"),
    Index("quarantine_sender", "sender", postgresql_where=text("sender IS NOT NULL")),
)

sender_budget = Table(  # how many mails came of whom; see budget.py
    "sender_budget",
    metadata,
    Column("name", LargeBinary, primary_key=True),
    Column("since", _when, nullable=False),
    Column("mails", Integer, nullable=False),
    Column("before", Integer, nullable=False),
    Index("sender_budget_since", "since", "name"),
)

customer_merge = Table(  # what people said about who is the same customer
    "customer_merge",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("source", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("merged_by", Text, nullable=False),
    Column("reason", Text),
    Column("merged_at", _when, nullable=False),
    Column("undone_by", Text),
    Column("undone_at", _when),
    Index("customer_merge_standing", "source", unique=True, postgresql_where=text("undone_at IS NULL")),
    Index("customer_merge_target", "target"),
)

volume = Table(
    "volume",
    metadata,
    Column("day", Date, primary_key=True),
    Column("active_customers", BigInteger),
    Column("transactions", BigInteger),
    Column("version", Integer, nullable=False),
    Column("updated_at", _when, nullable=False),
)
