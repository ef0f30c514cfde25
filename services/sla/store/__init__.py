"""All SQL of sla: its tables, the state of cases, configuration, and what the API reads."""

from services.sla.store.cases import SlaStore
from services.sla.store.configuration import CALENDAR, POLICY, first_start
from services.sla.store.tables import metadata

__all__ = ["CALENDAR", "POLICY", "SlaStore", "first_start", "metadata"]
