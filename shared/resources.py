"""Named things that admins configure (teams, calendars, policies, …): versioned, strict, edited by PUT.

Every version is kept. Each edit moves the service's one configuration version, whose row a batch holds ``FOR SHARE``:
so what a batch decided with is known, and an edit waits for the batches before it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, Depends, Header, Path, Response
from pydantic import BaseModel, ConfigDict

from shared import audit
from shared.audit import Act
from shared.auth import Principal
from shared.contracts.spec import READ_ONLY
from shared.db import Tx, from_json, to_json
from shared.errors import Problem, conflict, not_found
from shared.http import Answer, Cursor, Limit, Listing, allow, decode_cursor, encode_cursor, etag, expected_version
from shared.openapi import also
from shared.runtime import Runtime
from shared.sealing import each_secret, hidden

C = TypeVar("C")
MAX_RESOURCES = 10_000  # of one kind

ResourceName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", description="Permanent; lower case")]


@dataclass(frozen=True, slots=True)
class Resource:
    kind: str
    name: str
    version: int
    body: Mapping[str, Any]
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything configured in one service, at one configuration version."""

    version: int
    resources: Mapping[str, Mapping[str, Resource]]

    def of(self, kind: str) -> Mapping[str, Resource]:
        return self.resources.get(kind, {})


async def _nothing(_spec: Any) -> None:
    return None


async def _no_more(_tx: Tx, _name: str, _prepared: Any) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of resource and its rules. What ``stored`` gives is added to the answer of a PUT."""

    kind: str
    path: str
    model: type[BaseModel]
    check: Callable[[str, Any, Snapshot], None] = lambda _name, _spec, _snapshot: None  # raises Problem
    uses: Callable[[Snapshot, str], list[str]] = lambda _snapshot, _name: []
    kept: Callable[[Any, Mapping[str, Any] | None], dict[str, Any]] = field(
        default=lambda spec, _before: spec.model_dump(mode="json", exclude_unset=True)
    )  # what is stored, given the spec and what stood before
    prepare: Callable[[Any], Awaitable[Any]] = _nothing  # what takes long, before the transaction; raises Problem
    stored: Callable[[Tx, str, Any], Awaitable[Mapping[str, Any]]] = _no_more  # in it, given what `prepare` gave


class ResourceAnswer(Answer):
    """The document as it was written, with what identifies this version of it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    version: int
    updated_at: datetime
    updated_by: str


async def version(tx: Tx, lock: str = "FOR SHARE") -> int:
    """The configuration version, its row locked until the end of the transaction."""
    found = await tx.records(f"SELECT version FROM configuration WHERE one {lock}")
    return int(found[0][0]) if found else 0


async def touch(tx: Tx) -> int:
    """Move the configuration version; waits for the batches that hold it."""
    moved = await tx.scalar(
        "INSERT INTO configuration (one, version) VALUES (true, 1)"
        " ON CONFLICT (one) DO UPDATE SET version = configuration.version + 1 RETURNING version"
    )
    return int(moved)


async def snapshot(tx: Tx, at_version: int) -> Snapshot:
    rows = await tx.rows("SELECT kind, name, version, body, updated_at, updated_by FROM resource ORDER BY kind, name")
    found: dict[str, dict[str, Resource]] = {}
    for row in rows:
        made = Resource(row.kind, row.name, row.version, _opened(tx, row.body), row.updated_at, row.updated_by)
        found.setdefault(row.kind, {})[row.name] = made
    return Snapshot(at_version, found)


async def put(
    tx: Tx, kind: str, name: str, body: Mapping[str, Any], by: str, now: datetime, expected: int | None = None
) -> Resource:
    """Store a new version, unless nothing changed. Raises 412 where ``expected`` is not the version that stands.

    The caller holds the configuration row (``version(tx, "FOR UPDATE")``).
    """
    before = await tx.one(
        "SELECT version, body, updated_at, updated_by FROM resource WHERE kind = :kind AND name = :name",
        kind=kind,
        name=name,
    )
    standing = before.version if before else 0
    _expect(kind, name, expected, standing)
    if before and _opened(tx, before.body) == body:
        return Resource(kind, name, standing, body, before.updated_at, before.updated_by)
    latest = await tx.scalar(
        "SELECT coalesce(max(version), 0) FROM resource_version WHERE kind = :kind AND name = :name",
        kind=kind,
        name=name,
    )
    made = Resource(kind, name, int(latest) + 1, body, now, by)
    values = {
        "kind": kind,
        "name": name,
        "version": made.version,
        "body": to_json(each_secret(body, lambda text: tx.seal.seal(text))),
        "now": now,
        "by": by,
    }
    await tx.run(
        "INSERT INTO resource (kind, name, version, body, updated_at, updated_by)"
        " VALUES (:kind, :name, :version, CAST(:body AS jsonb), :now, :by) ON CONFLICT (kind, name) DO UPDATE SET"
        " version = excluded.version, body = excluded.body, updated_at = excluded.updated_at,"
        " updated_by = excluded.updated_by",
        **values,
    )
    await tx.run(
        "INSERT INTO resource_version (kind, name, version, body, updated_at, updated_by)"
        " VALUES (:kind, :name, :version, CAST(:body AS jsonb), :now, :by)",
        **values,
    )
    await touch(tx)
    return made


def _expect(kind: str, name: str, expected: int | None, standing: int) -> None:
    if expected is not None and expected != standing:
        detail = f"{kind} {name} is at version {standing}, not {expected}. GET it, merge your change, and repeat."
        raise Problem(412, "precondition-failed", detail)


def _opened(tx: Tx, stored: str) -> dict[str, Any]:
    return each_secret(from_json(stored), lambda text: tx.seal.open(text))


async def delete(tx: Tx, kind: str, name: str, by: str, now: datetime, expected: int | None = None) -> None:
    """Raises 412 where ``expected`` is not the version that stands."""
    gone = await tx.scalar(
        "DELETE FROM resource WHERE kind = :kind AND name = :name RETURNING version", kind=kind, name=name
    )
    if gone is None:
        raise not_found(kind, name)
    _expect(kind, name, expected, gone)
    await tx.run(
        "INSERT INTO resource_version (kind, name, version, body, updated_at, updated_by)"
        " VALUES (:kind, :name, :version, NULL, :now, :by)",
        kind=kind,
        name=name,
        version=gone + 1,
        now=now,
        by=by,
    )
    await touch(tx)


class Configured(Generic[C]):
    """A service's configuration as its own typed value, kept until the version moves."""

    def __init__(self, build: Callable[[Tx, Snapshot], Awaitable[C]]) -> None:
        self._build = build
        self._kept: tuple[int, C] | None = None

    async def at(self, tx: Tx, current: int) -> C:
        """The configuration of this version, which the transaction holds already."""
        if self._kept is None or self._kept[0] != current:
            self._kept = (current, await self._build(tx, await snapshot(tx, current)))
        return self._kept[1]

    async def read(self, tx: Tx) -> C:
        """The configuration in force, its version held until the end of the transaction."""
        return await self.at(tx, await version(tx))


def routes(runtime: Runtime[Any], kind: Kind) -> APIRouter:
    """PUT, GET, list and DELETE of one kind."""
    runtime.configurable.append(kind)
    router = APIRouter(tags=[kind.kind])
    by_name = kind.path + "/{name}"

    def shown(resource: Resource, more: Mapping[str, Any] = MappingProxyType({})) -> ResourceAnswer:
        return ResourceAnswer(
            name=resource.name,
            version=resource.version,
            updated_at=resource.updated_at,
            updated_by=resource.updated_by,
            **{k: v for k, v in hidden(resource.body).items() if k not in READ_ONLY},
            **more,
        )

    async def write(
        name: ResourceName,
        spec: BaseModel,
        response: Response,
        who: Annotated[Principal, Depends(allow("config:write"))],
        if_match: Annotated[str | None, Header()] = None,
    ) -> ResourceAnswer:
        prepared = await kind.prepare(spec)
        async with runtime.db.transaction() as tx:
            current = await snapshot(tx, await version(tx, "FOR UPDATE"))
            before = current.of(kind.kind).get(name)
            if before is None and len(current.of(kind.kind)) >= MAX_RESOURCES:
                raise conflict("too-many", f"There are {MAX_RESOURCES} {kind.kind}s, which is the limit. Delete some.")
            kind.check(name, spec, current)
            body = kind.kept(spec, before.body if before else None)
            now = runtime.clock.now()
            made = await put(tx, kind.kind, name, body, who.name, now, expected_version(if_match))
            if before is None or made.version != before.version:
                act = Act("changed" if before else "made", kind.kind, name, facts={"version": made.version})
                await audit.write(tx, who, act, now)
            more = await kind.stored(tx, name, prepared)
        response.headers["ETag"] = etag(made.version)
        response.status_code = 200 if before else 201
        return shown(made, more)

    # FastAPI reads the body's model from the annotation, which differs by kind.
    write.__annotations__["spec"] = kind.model
    router.put(by_name, name=f"put_{kind.kind}", responses={201: {"model": ResourceAnswer}, **also(409)})(write)

    @router.get(by_name, name=f"get_{kind.kind}", dependencies=[Depends(allow("read"))])
    async def read(name: ResourceName, response: Response) -> ResourceAnswer:
        async with runtime.db.transaction() as tx:
            found = (await snapshot(tx, 0)).of(kind.kind).get(name)
        if found is None:
            raise not_found(kind.kind, name)
        response.headers["ETag"] = etag(found.version)
        return shown(found)

    @router.get(kind.path, name=f"list_{kind.kind}", dependencies=[Depends(allow("read"))])
    async def listing(limit: Limit = 50, cursor: Cursor = None) -> Listing[ResourceAnswer]:
        after = decode_cursor(cursor, 2)
        async with runtime.db.transaction() as tx:
            found = list((await snapshot(tx, 0)).of(kind.kind).values())
        found.sort(key=lambda r: (r.updated_at.isoformat(), r.name), reverse=True)
        rest = [r for r in found if after is None or (r.updated_at.isoformat(), r.name) < after]
        page, more = rest[:limit], len(rest) > limit
        following = encode_cursor(page[-1].updated_at.isoformat(), page[-1].name) if more else None
        return Listing(items=[shown(r) for r in page], next=following)

    @router.delete(by_name, name=f"delete_{kind.kind}", status_code=204, responses=also(409))
    async def remove(
        name: ResourceName,
        who: Annotated[Principal, Depends(allow("config:write"))],
        if_match: Annotated[str | None, Header()] = None,
    ) -> None:
        async with runtime.db.transaction() as tx:
            current = await snapshot(tx, await version(tx, "FOR UPDATE"))
            if uses := kind.uses(current, name):
                detail = f"{kind.kind} {name} is in use. Change what uses it first: {', '.join(uses[:20])}."
                raise conflict("in-use", detail, uses=uses[:500])
            now = runtime.clock.now()
            await delete(tx, kind.kind, name, who.name, now, expected_version(if_match))
            await audit.write(tx, who, Act("deleted", kind.kind, name), now)

    return router
