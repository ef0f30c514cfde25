"""Routes: how many customers and transactions a day had, the denominators of contact rate."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Response
from sqlalchemy import Row

from services.intake.api.answers import VolumeAnswer
from services.intake.model import CaseFile
from services.intake.model.posted import Volumes
from services.intake.store import reads
from shared.errors import Problem, not_found
from shared.http import allow, etag, expected_version
from shared.runtime import Runtime


def routes(runtime: Runtime[CaseFile]) -> APIRouter:
    router = APIRouter(tags=["volumes"])

    @router.put("/v1/volumes/{date}", dependencies=[Depends(allow("contacts:write"))])
    async def put_volume(
        date: date, volumes: Volumes, response: Response, if_match: Annotated[str | None, Header()] = None
    ) -> VolumeAnswer:
        """Set a day's volumes, as a whole."""
        async with runtime.db.transaction() as tx:
            row = await reads.put_volume(
                tx,
                date,
                volumes.active_customers,
                volumes.transactions,
                expected_version(if_match),
                runtime.clock.now(),
            )
        if row is None:
            raise Problem(412, "precondition-failed", "It changed since you read it. GET it again, then repeat.")
        return _answer(row, response)

    @router.get("/v1/volumes/{date}", dependencies=[Depends(allow("read"))])
    async def get_volume(date: date, response: Response) -> VolumeAnswer:
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
