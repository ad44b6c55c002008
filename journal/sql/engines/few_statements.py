"""MariaDB: appends in as few statements as there are tables: PyMySQL sends an UPDATE or DELETE of many rows one by one.

All that is set comes in as a table of its own, which is read first, so that no other guard row is locked than those named.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

from journal.sql.changes import Changes, Row
from journal.sql.engines.backend import Run

DELETED_AT_ONCE: Final = 100
"""Values in one statement."""
_NOW: Final = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) AS DOUBLE)"
_TEXT: Final = "CONVERT(%s USING utf8mb4) COLLATE utf8mb4_nopad_bin"
_SWAP: Final = {
    "stream": _TEXT,
    "before": "%s",
    "epoch_before": "%s",
    "hash_before": _TEXT,
    "version": "%s",
    "head_hash": _TEXT,
    "epoch": "%s",
    "sets_operation": "%s",
    "operation": _TEXT,
    "takes": _TEXT,
    "owner": _TEXT,
    "lease_seconds": "%s",
}
"""What is set in a guard row, and how it is written."""
_FIRST: Final = ", ".join(f"{value} AS `{name}`" for name, value in _SWAP.items())
_NEXT: Final = ", ".join(_SWAP.values())
_GUARD: Final = f"""
SET streams.version = swap.version, streams.head_hash = swap.head_hash, streams.epoch = swap.epoch, streams.changed_at = {_NOW},
    streams.operation = IF(swap.sets_operation, swap.operation, streams.operation),
    streams.owner = CASE swap.takes WHEN 'claim' THEN swap.owner WHEN 'release' THEN NULL ELSE streams.owner END,
    streams.lease_expires_at = CASE swap.takes
        WHEN 'claim' THEN {_NOW} + swap.lease_seconds WHEN 'release' THEN NULL ELSE streams.lease_expires_at END
WHERE streams.version = swap.`before` AND streams.epoch = swap.epoch_before AND streams.head_hash = swap.hash_before
    AND streams.archived_to IS NULL
    AND (swap.takes IS NULL OR swap.takes != 'claim' OR streams.owner IS NULL OR streams.owner = swap.owner
        OR streams.lease_expires_at <= {_NOW})"""


def few_statements(changes: Changes) -> Iterator[Run]:
    """Yield what records appends that stand alone. If one misses what it has to hit, nothing of it may be committed."""
    swaps = [{**swap.values, "takes": swap.takes, "sets_operation": swap.sets_operation} for swap in changes.swaps]
    yield Run(_swapping(len(swaps)), [swap.get(name) for swap in swaps for name in _SWAP], hits=len(swaps))
    yield _insertion("events", changes.events)
    yield from _deletions([{"stream_id": stream} for stream in changes.ended])
    if changes.begun:
        yield _insertion("unfinished_steps", [*changes.begun.values()])
    yield from _deletions(changes.done)


@cache
def _swapping(count: int) -> str:
    rows = " UNION ALL SELECT ".join((_FIRST, *[_NEXT] * (count - 1)))
    return f"UPDATE (SELECT {rows}) AS swap STRAIGHT_JOIN streams ON streams.stream_id = swap.stream {_GUARD}"


def _insertion(table: str, rows: Sequence[Any]) -> Run:
    names = [*rows[0]]
    columns = ", ".join(f"`{name}`" for name in names)
    text = f"INSERT INTO {table} ({columns}) VALUES ({', '.join(['%s'] * len(names))})"  # noqa: S608 (names of the schema)
    # The driver sends them in statements of a megabyte: a server takes no more than 16 in one, unless it is told otherwise.
    return Run(text, [[row[name] for name in names] for row in rows], many=True)


def _deletions(keys: Sequence[Row]) -> Iterator[Run]:
    """Yield what deletes key by key: a list of values has a small table read, and so locked, as a whole."""
    for start in range(0, len(keys), DELETED_AT_ONCE):
        some = keys[start : start + DELETED_AT_ONCE]
        yield Run(_deleting(len(some), *some[0]), [value for key in some for value in key.values()])


@cache
def _deleting(count: int, *names: str) -> str:
    rows = " UNION ALL SELECT ".join([", ".join(f"{_TEXT} AS {name}" for name in names)] * count)
    same = " AND ".join(f"unfinished_steps.{name} = gone.{name}" for name in names)
    return f"DELETE unfinished_steps FROM (SELECT {rows}) AS gone STRAIGHT_JOIN unfinished_steps ON {same}"
