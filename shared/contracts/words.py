"""The words of the domain (GLOSSARY.md), as closed sets of strings used on the wire and in SQL."""

from enum import StrEnum

WATCHER = "tocsin-watch"  # the source of the watcher's own contacts, and the team that they go to: counted nowhere


class Channel(StrEnum):
    EMAIL = "email"
    PHONE = "phone"
    CHAT = "chat"
    WEB = "web"
    API = "api"


class Status(StrEnum):
    NEW = "new"
    OPEN = "open"
    PENDING = "pending"  # on the customer
    ON_HOLD = "on_hold"  # on a third party or engineering
    SOLVED = "solved"
    CLOSED = "closed"


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class ActivityKind(StrEnum):
    AGENT_REPLIED = "agent_replied"
    CUSTOMER_REPLIED = "customer_replied"
    NOTE_ADDED = "note_added"
    PICKED_UP = "picked_up"
    STATUS_CHANGED = "status_changed"
    PRIORITY_CHANGED = "priority_changed"
    TAGS_CHANGED = "tags_changed"
    SATISFACTION_RATED = "satisfaction_rated"


class Metric(StrEnum):
    FIRST_REPLY = "first_reply"
    NEXT_REPLY = "next_reply"
    UPDATE = "update"
    RESOLUTION = "resolution"
    PICKUP = "pickup"
    TEAM_WAIT = "team_wait"  # how long one team has the case, until it hands it on or solves it
    ENGINEERING_WAIT = "engineering_wait"  # how long the case is on hold
    UNASSIGNED = "unassigned"


class ClockState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    BREACHED = "breached"
    MET = "met"
    CANCELLED = "cancelled"
    WITHDRAWN = "withdrawn"


class PageState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    EXHAUSTED = "exhausted"


class DeliveryState(StrEnum):
    QUEUED = "queued"
    HELD = "held"
    SENT = "sent"
    UNKNOWN = "unknown"  # the answer was lost: it may have arrived
    FAILED = "failed"
    SUPPRESSED = "suppressed"
