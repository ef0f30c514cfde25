"""The tables of notify. Columns are named like the fields of ``model.py``."""

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.tables import platform_tables

metadata = MetaData()
platform_tables(metadata)

_when = DateTime(timezone=True)
_unfinished = text("state IN ('queued', 'held', 'unknown')")
_troubled = text("state <> 'resolved' AND (troubles <> '[]' OR state = 'exhausted')")
_busy = text("state IN ('queued', 'held', 'unknown') OR token IS NOT NULL")

case_facts = Table(
    "case_facts",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("team", Text),
    Column("teams_seen", JSONB, nullable=False),
    Column("summary", JSONB),
    Column("words_at", _when),
    Column("erased", Boolean, nullable=False),
    Column("merged_into", Text),
    Column("fizzled", JSONB, nullable=False, server_default=text("'[]'")),
)

clock = Table(
    "clock",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("case_id", Uuid, nullable=False),
    Column("metric", Text, nullable=False),
    Column("instance", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("started_at", _when, nullable=False),
    Column("due_at", _when),
    Column("within", Text, nullable=False),
    Column("calendar", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("policy", Text),
    Column("warned_at", _when),
    Column("breached_at", _when),
    Column("breach_fired_at", _when),
    Column("overdue_level", SmallInteger, nullable=False, server_default=text("0")),
    Column("overdue_share", Double, nullable=False, server_default=text("0")),
    Column("paused", Boolean, nullable=False),
    Column("ended", Text),
    Column("ended_at", _when),
    Column("ended_because", Text),
    Column("ignored", Text),
    Index("clock_case_running", "case_id", postgresql_where=text("ended IS NULL")),
)

page = Table(
    "page",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("case_id", Uuid, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("opened_at", _when, nullable=False),
    Column("team", Text),
    Column("policy_name", Text, nullable=False),
    Column("policy_version", Integer, nullable=False),
    Column("policy_spec", JSONB, nullable=False),  # as it stood when the page took it
    Column("because", JSONB, nullable=False),
    Column("cycle", Integer, nullable=False),
    Column("base_warned", _when),
    Column("base_breached", _when),
    Column("base_overdue", JSONB, nullable=False, server_default=text("'[]'")),  # by level
    Column("begins", _when),
    Column("begins_because", Text),
    Column("holds", JSONB, nullable=False, server_default=text("'[]'")),  # steps that wait for duty
    Column("waited_until", _when),
    Column("rounds", JSONB, nullable=False),
    Column("acknowledged_by", Text),
    Column("acknowledged_at", _when),
    Column("snoozed_until", _when),
    Column("snoozed_by", Text),
    Column("snoozed_at", _when),
    Column("reopens_at", _when),
    Column("answered_at", _when),
    Column("resolved_by", Text),
    Column("resolved_at", _when),
    Column("handover_to", Text),
    Column("troubles", JSONB, nullable=False),
    Column("entries", Integer, nullable=False),
    UniqueConstraint("case_id", "number", name="page_case_number"),
    Index("page_opened", "opened_at", "id"),
    Index("page_live", "state", "opened_at", "id", postgresql_where=text("state <> 'resolved'")),
    Index("page_troubled", "opened_at", "id", postgresql_where=_troubled),
)

page_clock = Table(
    "page_clock",
    metadata,
    Column("page_id", Uuid, primary_key=True),
    Column("clock_id", Uuid, primary_key=True),
    Column("place", Integer, nullable=False),  # in the order of joining
)

page_entry = Table(
    "page_entry",
    metadata,
    Column("page_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", _when, nullable=False),
    Column("kind", Text, nullable=False),
    Column("because", JSONB, nullable=False),
    Column("by", Text),
    Column("via", Text),
    Column("deliveries", JSONB, nullable=False),  # the ids of those that it made
    Column("origin", Text),  # from where somebody acted
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("case_id", Uuid, nullable=False),
    Column("page_id", Uuid, nullable=False),
    Column("target", Text, nullable=False),
    Column("via", Text),
    Column("way", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("on", Text, nullable=False),
    Column("cycle", Integer, nullable=False),
    Column("step", SmallInteger),
    Column("round", SmallInteger, nullable=False),
    Column("cause", Text, nullable=False),
    Column("clock_id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", _when, nullable=False),
    Column("next_at", _when, nullable=False),
    Column("head_start", Integer, nullable=False),
    Column("grouping", Text),
    Column("digest_id", Uuid),
    Column("rank_at", _when, nullable=False),  # next_at without the head start: the order within its lane
    Column("reason", Text),
    Column("muted_by", Uuid),
    Column("silenced_by", Uuid),  # stays when the silence is over
    Column("attempts", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("since", _when),
    Column("lost", Integer, nullable=False),
    Column("token", Uuid),
    Column("claimed_until", _when),
    Column("sent_at", _when),
    Column("receipt", Text),
    Column("follows", Text),
    Column("lines", JSONB),
    Index("delivery_page", "page_id"),
    Index("delivery_created", "created_at", "id"),
    Index("delivery_case", "case_id", "created_at", "id"),
    Index("delivery_target", "target", "created_at", "id"),
    Index("delivery_failed", "created_at", "id", postgresql_where=text("state = 'failed'")),
    Index("delivery_due", "lane", "rank_at", "id", postgresql_where=_unfinished),
    Index(
        "delivery_case_busy",
        "case_id",
        postgresql_where=_busy,
    ),
    Index("delivery_lane_alone", "lane", "since", "id", postgresql_where=text("digest_id IS NULL")),
    Index("delivery_digest", "digest_id", postgresql_where=text("digest_id IS NOT NULL")),
    Index("delivery_lane_busy", "lane", "claimed_until", postgresql_where=text("claimed_until IS NOT NULL")),
    Index("delivery_muted", "muted_by", postgresql_where=text("muted_by IS NOT NULL")),
    Index("delivery_silenced", "silenced_by", "created_at", "id", postgresql_where=text("silenced_by IS NOT NULL")),
)

attempt = Table(
    "attempt",
    metadata,
    Column("delivery_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("token", Uuid, nullable=False),
    Column("started_at", _when, nullable=False),
    Column("ended_at", _when),
    Column("outcome", Text),  # sent, found (an earlier try had arrived), later, lost, refused; null while it is out
    Column("detail", Text),
)

# One message that names many cases; written under the lock of its lane.
digest = Table(
    "digest",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("lane", Text, nullable=False),
    Column("grouping", Text, nullable=False),
    Column("way", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("opened_at", _when, nullable=False),
    Column("closed", Boolean, nullable=False),
    Column("receipt", Text),
    Column("lost", Integer, nullable=False),
    Column("drawn_at", _when),  # as it stands at the provider
    Column("next_at", _when, nullable=False),  # drawn again not before then
    Column("token", Uuid),
    Column("claimed_until", _when),
    Index("digest_lane", "lane", "grouping", "opened_at", "id"),
    Index("digest_opened", "opened_at", "id"),
    Index("digest_lane_busy", "lane", "claimed_until", postgresql_where=text("claimed_until IS NOT NULL")),
)

# One address that messages go to. The row is locked by whoever claims from it, so replicas share its limits.
lane = Table(
    "lane",
    metadata,
    Column("name", Text, primary_key=True),
    Column("width", SmallInteger, nullable=False),  # how many messages may be on their way at once
    Column("rate", Double, nullable=False),  # messages a second
    Column("burst", Integer, nullable=False),  # of them at once, after a rest
    Column("full_at", _when, nullable=False),  # when the bucket has all its tokens again
    Column("failures", Integer, nullable=False),  # in a row
    Column("known_as", Text),  # the provider's own name for the address
    Column("blocked_until", _when, nullable=False),
    Column("blocked_reason", Text),
)

silence = Table(
    "silence",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team", Text),
    Column("case_id", Uuid),
    Column("destination", Text),
    Column("person", Text),
    Column("metric", Text),
    Column("tag", Text),
    Column("effect", Text, nullable=False, server_default=text("'hold'")),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("start", _when, nullable=False),
    Column("end", _when, nullable=False),  # earlier than first asked for, where it was taken back
    Column("during", JSONB),  # hours of the week in which alone it is in force
    Column("created_at", _when, nullable=False),
    Index("silence_end", "end", "id"),
    Index("silence_created", "created_at", "id"),
)

override = Table(
    "override",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("schedule", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("start", _when, nullable=False),
    Column("end", _when, nullable=False),
    Column("created_at", _when, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("swap", Uuid),  # the exchange that it is one half of
    Index("override_schedule", "schedule", "created_at", "id"),
)

# A calendar that layers of schedules read, by its address or what stands in it; the last good copy stays.
calendar = Table(
    "calendar",
    metadata,
    Column("source", Text, primary_key=True),
    Column("url", Text),  # null: written into the layer
    Column("body", Text),  # null: never fetched
    Column("etag", Text),
    Column("modified", Text),  # the Last-Modified of its server
    Column("events", JSONB, nullable=False),  # from it, repetitions counted out for some time ahead
    Column("read_at", _when),  # when they were
    Column("fetched_at", _when),
    Column("failing_since", _when),
    Column("error", Text),
    Column("next_at", _when, nullable=False),
)

# A destination that answered 410 Gone: nothing is sent there until it is PUT again.
off = Table(
    "off",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at", _when, nullable=False),
)

# A calendar feed that is out: its address is signed, and works until the row is gone.
feed = Table(
    "feed",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),  # schedule or person
    Column("name", Text, nullable=False),
    Column("created_at", _when, nullable=False),
    Column("created_by", Text, nullable=False),
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
