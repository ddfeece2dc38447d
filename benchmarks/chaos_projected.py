"""The projection as a gateway would read it from Redis."""

from __future__ import annotations

from benchmarks.chaos_reading import Record
from schemas.projection import ProjectedTable, head_key, table_key

Tables = dict[str, dict[str, bytes]]


def projected(url: str, partitions: int) -> Tables:
    """All partitions together."""
    from redis import Redis

    tables: Tables = {table.value: {} for table in ProjectedTable}
    with Redis.from_url(url, socket_timeout=5) as client:
        for number in range(partitions):
            incarnation = (client.hget(head_key(number), "incarnation") or b"").decode()
            for table in ProjectedTable:
                held = client.hgetall(table_key(number, incarnation, table))
                tables[table.value] |= {key.decode(): value for key, value in held.items()}
    return tables


def wanted(nodes: dict[str, Record], statuses: dict[str, Record]) -> Tables:
    """What the folds of the topics say that it must hold."""
    tables: Tables = {table.value: {} for table in ProjectedTable}
    for key, record in nodes.items():
        tables[ProjectedTable.NODES.value][key] = record.value or b""
    for key, record in statuses.items():
        is_node = "/" in key
        table = ProjectedTable.NODE_STATUSES if is_node else ProjectedTable.INSTANCE_STATUSES
        tables[table.value][key] = record.value or b""
    return tables
