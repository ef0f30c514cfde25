"""Routes: how many customers and transactions a day had, the denominators of contact rate."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Response
from sqlalchemy import Row

from services.intake.api.answers import VolumeAnswer
from services.intake.model import CaseFile
from services.intake.model.posted import Volumes
from services.intake.store import reads
from shared import audit
from shared.audit import Act
from shared.auth import Principal
from shared.contracts.spec import Date
from shared.errors import Problem, not_found
from shared.http import allow, etag, expected_version
from shared.runtime import Runtime


def routes(runtime: Runtime[CaseFile]) -> APIRouter:
    router = APIRouter(tags=["volumes"])

    @router.put("/v1/volumes/{date}")
    async def put_volume(
        date: Date,
        volumes: Volumes,
        response: Response,
        who: Annotated[Principal, Depends(allow("contacts:write"))],
        if_match: Annotated[str | None, Header()] = None,
    ) -> VolumeAnswer:
        """Set a day's volumes, as a whole."""
        now, expected = runtime.clock.now(), expected_version(if_match)
        async with runtime.db.transaction() as tx:
            row = await reads.put_volume(tx, date, volumes.active_customers, volumes.transactions, expected, now)
            if row is None:
                raise Problem(412, "precondition-failed", "It changed since you read it. GET it again, then repeat.")
            await audit.write(tx, who, Act("set", "volume", date.isoformat(), facts={"version": row.version}), now)
        return _answer(row, response)

    @router.get("/v1/volumes/{date}", dependencies=[Depends(allow("read"))])
    async def get_volume(date: Date, response: Response) -> VolumeAnswer:
        """A day's volumes."""
        async with runtime.db.transaction() as tx:
            row = await reads.volume(tx, date)
        if row is None:
            raise not_found("volume of", date)
        return _answer(row, response)

    return router


def _answer(row: Row[Any], response: Response) -> VolumeAnswer:
    response.headers["ETag"] = etag(row.version)
    return VolumeAnswer(
        date=row.day,
        active_customers=row.active_customers,
        transactions=row.transactions,
        updated_at=row.updated_at,
    )
