"""Every version of a calendar or a policy that there ever was, and what differs between two."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from services.sla.decide.changes import MISSING, changes
from services.sla.model import Case
from services.sla.store import reads
from shared.errors import invalid, not_found
from shared.http import Answer, Cursor, Limit, Listing, allow, decode_cursor, encode_cursor
from shared.resources import ResourceName
from shared.runtime import Runtime

Version = Annotated[int, Query(ge=1, lt=2**31)]


class VersionAnswer(Answer):
    """One version; ``document`` is null where it was deleted."""

    version: int
    updated_at: datetime
    updated_by: str
    document: dict[str, Any] | None


class ChangeAnswer(Answer):
    """One field that differs, such as ``targets.first_reply.within``."""

    path: str
    what: str  # "added", "removed" or "changed"
    before: Any
    after: Any


class DiffAnswer(Answer):
    name: str
    version: int
    to: int
    changes: list[ChangeAnswer]


def routes(runtime: Runtime[Case], kind: str, path: str) -> APIRouter:
    router = APIRouter(tags=[kind], dependencies=[Depends(allow("read"))])

    @router.get(path + "/{name}/versions", name=f"list_{kind}_versions")
    async def versions(name: ResourceName, limit: Limit = 50, cursor: Cursor = None) -> Listing[VersionAnswer]:
        """Newest first."""
        parts = decode_cursor(cursor, 1)
        if parts is not None and not parts[0].isdecimal():
            raise invalid("This cursor is not one of this list. Leave it out to start from the beginning.")
        async with runtime.db.transaction() as tx:
            found = await reads.versions(tx, kind, name, int(parts[0]) if parts else 2**31 - 1, limit + 1)
        if not found and parts is None:
            raise not_found(kind, name)
        following = encode_cursor(str(found[limit - 1].version)) if len(found) > limit else None
        shown = [VersionAnswer(version=v.version, updated_at=v.at, updated_by=v.by, document=v.body) for v in found]
        return Listing(items=shown[:limit], next=following)

    @router.get(path + "/{name}/diff", name=f"diff_{kind}")
    async def diff(name: ResourceName, version: Version, to: Version) -> DiffAnswer:
        """What version ``to`` changed against ``version``, field by field."""
        async with runtime.db.transaction() as tx:
            found = [await reads.version(tx, kind, name, number) for number in (version, to)]
        for number, each in zip((version, to), found, strict=True):
            if each is None:
                raise not_found(kind, f"{name} in version {number}")
        before, after = ((each.body if each else None) or {} for each in found)
        return DiffAnswer(
            name=name,
            version=version,
            to=to,
            changes=[
                ChangeAnswer(
                    path=each.path,
                    what="added" if each.before is MISSING else "removed" if each.after is MISSING else "changed",
                    before=None if each.before is MISSING else each.before,
                    after=None if each.after is MISSING else each.after,
                )
                for each in changes(before, after)
            ],
        )

    return router
