"""Who used the processor: each service's own processes, and the connections of Postgres that worked for it. Linux only.

What processes say of their own time stays true on a machine that others share.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import asyncpg

from tests.e2e.stack import SERVICES, Apart

POSTGRES = "postgres"  # beside what its connections did for services: writing, checkpoints, vacuum
KAFKA = "kafka"
Seconds = Mapping[str, float]


async def used(stack: Apart) -> Seconds:
    """Seconds of processor so far: by service, by ``<service> in Postgres``, of the rest of Postgres, of Kafka."""
    found = dict.fromkeys((*SERVICES, *map(in_postgres, SERVICES), POSTGRES, KAFKA), 0.0)
    for service, pid in processes(stack):
        found[service] += seconds_of(pid)
    connection = await asyncpg.connect(plain(stack.database_url))
    try:
        rows = await connection.fetch("SELECT pid, application_name FROM pg_stat_activity WHERE application_name <> ''")
    finally:
        await connection.close()
    owners = {row["pid"]: row["application_name"].removeprefix("tocsin-") for row in rows}
    for pid in children_of(postmaster(stack)):
        owner = in_postgres(owners.get(pid, ""))
        found[owner if owner in found else POSTGRES] += seconds_of(pid)
    if stack.kafka is not None:
        found[KAFKA] = seconds_of(stack.kafka.pid)
    return found


def between(before: Seconds, after: Seconds) -> dict[str, float]:
    """A connection that closed meanwhile takes its time with it."""
    return {name: max(0.0, seconds - before[name]) for name, seconds in after.items()}


def in_postgres(service: str) -> str:
    return f"{service} in Postgres"


def of_services(spent: Seconds) -> float:
    return sum(spent[service] for service in SERVICES)


def of_postgres(spent: Seconds) -> float:
    """What connections did for the services; the server's own upkeep comes when it comes, and is not in it."""
    return sum(spent[in_postgres(service)] for service in SERVICES)


def resident_mb(stack: Apart) -> dict[str, float]:
    """Memory of each service, of all its processes together."""
    found = dict.fromkeys(SERVICES, 0.0)
    for service, pid in processes(stack):
        status = Path(f"/proc/{pid}/status").read_text()
        found[service] += next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024
    return found


def processes(stack: Apart) -> Iterator[tuple[str, int]]:
    for name, program in stack.programs.items():
        if program.pid is not None:
            yield name.partition("-")[0], program.pid


def postmaster(stack: Apart) -> int:
    return int(next(stack.folder.rglob("postmaster.pid")).read_text().split()[0])


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def seconds_of(pid: int) -> float:
    """Of a process and its threads: to the nanosecond, where it lives still."""
    try:
        threads = list(Path(f"/proc/{pid}/task").glob("*/schedstat"))
        running = sum(int(each.read_text().split()[0]) for each in threads) / 1e9
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, IndexError):
        return 0.0
    # threads that ended are counted in ticks only
    return max(running, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))


def plain(url: str) -> str:
    """For the driver itself."""
    return url.replace("+asyncpg", "")
