"""Routes: contact rate, how often customers have to get in touch: contacts ÷ active customers, and ÷ transactions."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from sqlalchemy import Row

from services.intake.model import CaseFile
from services.intake.store import rate
from shared.contracts.spec import Date
from shared.errors import invalid
from shared.http import Answer, allow
from shared.runtime import Runtime

LONGEST = 366  # days of one answer
_ZONES = frozenset(available_timezones())


class Rates(Answer):
    """Contacts, and how many there were for each customer and transaction; null where the denominator is unknown."""

    contacts: int
    cases: int  # how many of the contacts opened one
    per_active_customer: float | None
    per_transaction: float | None


class GroupRates(Rates):
    """``name`` is null for contacts without one; ``others`` is true for all groups beyond the biggest together."""

    name: str | None
    others: bool = False


class DayRates(Rates):
    date: date
    active_customers: int | None
    transactions: int | None
    groups: list[GroupRates]


class ContactRate(Answer):
    """By day, and over all days. The whole counts only days whose denominator is known, above and below the line:

    ``active_customers`` is their sum, ``contacts_with_active_customers`` the contacts on those days.
    """

    from_: date = Field(serialization_alias="from")
    until: date
    time_zone: str
    by: str
    contacts: int
    cases: int
    active_customers: int
    contacts_with_active_customers: int
    transactions: int
    contacts_with_transactions: int
    per_active_customer: float | None
    per_transaction: float | None
    groups: list[GroupRates]
    days: list[DayRates]


def routes(runtime: Runtime[CaseFile]) -> APIRouter:
    router = APIRouter(tags=["volumes"])

    @router.get("/v1/contact-rate", dependencies=[Depends(allow("read"))])
    async def contact_rate(
        since: Annotated[Date, Query(alias="from", description="The first day")],
        until: Annotated[Date, Query(description="The last day, included")],
        by: Annotated[Literal["reason", "channel", "source"], Query(description="What to group by")] = "reason",
        groups: Annotated[int, Query(ge=1, le=100, description="The biggest groups; the rest are one")] = 20,
        time_zone: Annotated[str, Query(max_length=64, description="Whose days, an IANA zone")] = "UTC",
    ) -> ContactRate:
        """Contact rate by day and group: contacts when they happened, without a machine's, by ``PUT /v1/volumes``."""
        if time_zone not in _ZONES:
            raise invalid(f"time_zone: {time_zone[:60]!r} is not an IANA time zone. Write one such as Europe/Dublin.")
        if not 0 <= (until - since).days < LONGEST or not date(1990, 1, 1) <= since <= until <= date(2200, 1, 1):
            raise invalid(f"from and until: give a first and a last day, at most {LONGEST} days in all.")
        begin, end = _midnight(since, time_zone), _midnight(until + timedelta(days=1), time_zone)
        async with runtime.db.transaction() as tx:
            counted = await rate.contacts(tx, begin, end, time_zone, by, groups)
            volumes = {row.day: row for row in await rate.volumes(tx, since, until)}
        days = [_day(day, [row for row in counted if row.day == day], volumes.get(day)) for day in _days(since, until)]
        return _whole(since, until, time_zone, by, days)

    return router


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _ratio(contacts: int, of: int | None) -> float | None:
    return contacts / of if of else None


def _day(day: date, rows: Sequence[Row[Any]], volume: Row[Any] | None) -> DayRates:
    customers = volume.active_customers if volume else None
    transactions = volume.transactions if volume else None
    contacts = sum(row.contacts for row in rows)
    return DayRates(
        date=day,
        contacts=contacts,
        cases=sum(row.cases for row in rows),
        active_customers=customers,
        transactions=transactions,
        per_active_customer=_ratio(contacts, customers),
        per_transaction=_ratio(contacts, transactions),
        groups=[
            GroupRates(
                name=row.name,
                others=not row.named,
                contacts=row.contacts,
                cases=row.cases,
                per_active_customer=_ratio(row.contacts, customers),
                per_transaction=_ratio(row.contacts, transactions),
            )
            for row in rows
        ],
    )


def _whole(since: date, until: date, zone: str, by: str, days: Sequence[DayRates]) -> ContactRate:
    with_customers = [day for day in days if day.active_customers]
    with_transactions = [day for day in days if day.transactions]
    customers = sum(day.active_customers or 0 for day in with_customers)
    transactions = sum(day.transactions or 0 for day in with_transactions)
    by_customers = sum(day.contacts for day in with_customers)
    by_transactions = sum(day.contacts for day in with_transactions)
    together: dict[tuple[str | None, bool], list[tuple[DayRates, GroupRates]]] = {}
    for day in days:
        for each in day.groups:
            together.setdefault((each.name, each.others), []).append((day, each))
    groups = [_group(name, others, mine, customers, transactions) for (name, others), mine in together.items()]
    return ContactRate(
        from_=since,
        until=until,
        time_zone=zone,
        by=by,
        contacts=sum(day.contacts for day in days),
        cases=sum(day.cases for day in days),
        active_customers=customers,
        contacts_with_active_customers=by_customers,
        transactions=transactions,
        contacts_with_transactions=by_transactions,
        per_active_customer=_ratio(by_customers, customers),
        per_transaction=_ratio(by_transactions, transactions),
        groups=sorted(groups, key=lambda each: (each.others, -each.contacts, each.name or "")),
        days=list(days),
    )


def _group(
    name: str | None, others: bool, mine: Sequence[tuple[DayRates, GroupRates]], customers: int, transactions: int
) -> GroupRates:
    return GroupRates(
        name=name,
        others=others,
        contacts=sum(each.contacts for _, each in mine),
        cases=sum(each.cases for _, each in mine),
        per_active_customer=_ratio(sum(each.contacts for day, each in mine if day.active_customers), customers),
        per_transaction=_ratio(sum(each.contacts for day, each in mine if day.transactions), transactions),
    )
