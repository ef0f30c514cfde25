"""All SQL of notify: its tables, the state of cases, lanes, configuration, and what the API reads."""

from services.notify.store.cases import NotifyStore
from services.notify.store.configuration import first_start
from services.notify.store.tables import metadata

__all__ = ["NotifyStore", "first_start", "metadata"]
