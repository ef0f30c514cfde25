"""A long history, quickly: cases that went the whole way are copied, row by row and in SQL, as often as it takes.

Every row is one that a service wrote. Of a copy, ids and what else must differ is its own, and its times lie elsewhere
in the last year; what stands in JSON stays as it was. Copies are looked at and walked over, never told anything.
"""

import asyncio
from collections.abc import Mapping, Sequence

import asyncpg

# The tables that cases leave rows in, by schema. Other tables do not grow with them.
TABLES: Mapping[str, Sequence[str]] = {
    "intake": ("case_lock", "case_file", "contact", "activity", "claim"),
    "routing": ("case_lock", "inbox", "assignment", "assignment_history", "contact", "outcome", "recent_contact"),
    "sla": ("case_lock", "inbox", "case_facts", "clock", "timer"),
    "notify": (
        "case_lock", "inbox", "case_facts", "clock", "page", "page_clock", "page_entry", "delivery", "attempt", "timer",
    ),
}  # fmt: skip
LANES = (("sla",), ("intake",), ("routing", "notify"))  # of about the same size
DAYS = 365
AT_ONCE = 100  # copies
KEPT_DAYS = {"inbox": 44, "recent_contact": 6}  # what is older is forgotten
_NAMES = {"claim": ("name",), "recent_contact": ("customer",)}
_NAMED = ("external_id", "thread", "customer_id", "customer_email", "customer_phone")

# An id of ours begins with its time, and ids beside each other in time are so in the index; others are evenly spread.
_ID = (
    "CAST(encode(overlay(uuid_send({0}) PLACING CASE WHEN get_byte(uuid_send({0}), 6) / 16 = 7 THEN c.at ELSE c.salt"
    " END FROM 1), 'hex') AS uuid)"
)


async def multiply(url: str, first: int, last: int, cases: int) -> None:
    """Copies ``first`` to ``last`` of what stood in the tables when ``keep`` was called: so many ``cases`` each."""
    connection = await asyncpg.connect(url)
    await connection.execute("DROP TABLE IF EXISTS bench.copy")
    await connection.execute(
        "CREATE TABLE bench.copy AS SELECT row_number() OVER (ORDER BY back DESC) AS n, g, back,"
        " substring(int8send(CAST(1000 * extract(epoch FROM now() - back) AS bigint)) FROM 3) AS at,"
        " substring(decode(md5(CAST(g AS text)), 'hex') FOR 6) AS salt FROM (SELECT g,"
        f" mod(CAST(g * 0.6180339887 AS numeric), 1) * interval '{DAYS} days' AS back"
        f" FROM generate_series({first}, {last}) g) c"
    )
    await connection.execute("CREATE UNIQUE INDEX ON bench.copy (n)")
    await connection.execute("ANALYZE bench.copy")
    beyond = await connection.fetchval(
        "SELECT (SELECT max(number) FROM intake.case_file) + 1 - (SELECT min(number) FROM bench.intake_case_file)"
    )
    await connection.close()
    await asyncio.gather(*(_lane(url, schemas, cases, last - first + 1, beyond) for schemas in LANES))


async def _lane(url: str, schemas: Sequence[str], cases: int, copies: int, beyond: int) -> None:
    connection = await asyncpg.connect(
        url, server_settings={"synchronous_commit": "off", "maintenance_work_mem": "256MB"}
    )
    for schema in schemas:
        for table in TABLES[schema]:
            await _copy(connection, schema, table, cases, copies, beyond)
    await connection.close()


async def _copy(connection: asyncpg.Connection, schema: str, table: str, cases: int, copies: int, beyond: int) -> None:
    columns = await connection.fetch(
        "SELECT attname AS name, format_type(atttypid, NULL) AS type, attidentity <> '' AS counted FROM pg_attribute"
        " WHERE attrelid = CAST($1 AS regclass) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        f"{schema}.{table}",
    )
    names = ", ".join(f'"{each["name"]}"' for each in columns)
    made = ", ".join(_of_copy(table, each["name"], each["type"], f"{beyond} + (c.n - 1) * {cases}") for each in columns)
    kept = f" AND c.back < interval '{KEPT_DAYS[table]} days'" if table in KEPT_DAYS else ""
    own = "OVERRIDING SYSTEM VALUE " if any(each["counted"] for each in columns) else ""
    for after in range(0, copies, AT_ONCE):  # so that rows stand in the order of their time, as they do in life
        await connection.execute(
            f"INSERT INTO {schema}.{table} ({names}) {own}SELECT {made}"
            f" FROM bench.copy c CROSS JOIN bench.{schema}_{table} t"
            f" WHERE c.n > {after} AND c.n <= {after + AT_ONCE}{kept}"
        )
    await connection.execute(f"VACUUM ANALYZE {schema}.{table}")


def _of_copy(table: str, column: str, kind: str, later: str) -> str:
    value = f't."{column}"'
    if kind == "uuid":
        return _ID.format(value)
    if kind == "timestamp with time zone":
        return f"{value} - c.back" if table != "timer" else value  # nothing comes due
    if column == "number" and kind == "bigint":
        return f"{value} + {later}"
    if column == "number" and kind == "text":
        return f"'C-' || (CAST(substr({value}, 3) AS bigint) + {later})"
    if column in _NAMES.get(table, _NAMED) and kind == "text":
        return f"{value} || '-' || c.g"
    return value


async def keep(url: str) -> None:
    """Remember what stands in the tables now as what is copied."""
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE SCHEMA bench")
    for schema, tables in TABLES.items():
        for table in tables:
            await connection.execute(f"CREATE TABLE bench.{schema}_{table} AS TABLE {schema}.{table}")
            await connection.execute(f"ANALYZE bench.{schema}_{table}")
    await connection.close()


async def number_on(url: str) -> None:
    """Cases to come have numbers beyond those of the copies."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "SELECT setval(CAST(pg_get_serial_sequence('intake.case_file', 'number') AS regclass),"
        " (SELECT max(number) FROM intake.case_file))"
    )
    await connection.close()
