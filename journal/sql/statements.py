"""The statements that record appends, on any engine, in the order in which they are run."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from typing import Any, Final

import attrs
from sqlalchemy import ColumnElement, Double, Insert, Update, UpdateBase, bindparam, delete, insert, null, or_, update

from journal.sql.changes import Changes, Row, Swap, Takes
from journal.sql.schema import EVENTS, STREAMS, UNFINISHED_STEPS, DatabaseNow


@attrs.frozen
class Execution:
    """A statement that is run once for each of `rows`, which all give values to the same names."""

    statement: UpdateBase
    rows: Sequence[Row]
    hits: int | None = None
    """How many rows of the table it has to hit; None where that does not matter."""


def executions(changes: Changes) -> Iterator[Execution]:
    """Yield what is to be run. If one misses what it has to hit, nothing of it may be committed."""
    for statement, swaps in groupby(changes.swaps, key=_swapping):
        rows = [swap.values for swap in swaps]
        yield Execution(statement, rows, hits=len(rows))
    others: Sequence[tuple[UpdateBase, Sequence[Row]]] = (
        (_INSERT_EVENTS, changes.events),
        (_OPERATION_FINISHED, [{"stream_id": stream} for stream in changes.ended]),
        (_STEP_BEGUN, [*changes.begun.values()]),
        (_STEP_COMPLETED, changes.done),
    )
    yield from (Execution(statement, rows) for statement, rows in others if rows)


# The statements are made once: making them costs as much as running them.

_INSERT_EVENTS: Final[UpdateBase] = insert(EVENTS)
_STEP_BEGUN: Final[UpdateBase] = insert(UNFINISHED_STEPS)
_OF_STREAM: Final = UNFINISHED_STEPS.c.stream_id == bindparam("stream_id")
_STEP_COMPLETED: Final[UpdateBase] = delete(UNFINISHED_STEPS).where(_OF_STREAM, UNFINISHED_STEPS.c.step == bindparam("step"))
_OPERATION_FINISHED: Final[UpdateBase] = delete(UNFINISHED_STEPS).where(_OF_STREAM)


def is_free() -> ColumnElement[bool]:
    """Return the condition that a guard row has no owner whose lease lives."""
    return or_(STREAMS.c.owner.is_(None), STREAMS.c.lease_expires_at <= DatabaseNow())


def _swapping(swap: Swap) -> UpdateBase:
    return _new_stream(swap.takes) if swap.is_new else _swapped(swap.takes, sets_operation=swap.sets_operation)


@cache
def _swapped(takes: Takes, *, sets_operation: bool) -> Update:
    """Return the compare-and-swap of a guard row."""
    guard = (
        (STREAMS.c.stream_id == bindparam("stream"))
        & (STREAMS.c.version == bindparam("before"))
        & (STREAMS.c.epoch == bindparam("epoch_before"))
        & (STREAMS.c.head_hash == bindparam("hash_before"))
        & STREAMS.c.archived_to.is_(None)
    )
    if takes == "claim":
        guard &= is_free() | (STREAMS.c.owner == bindparam("owner"))
    values = _values(takes) | ({"operation": bindparam("operation")} if sets_operation else {})
    return update(STREAMS).where(guard).values(values)


@cache
def _new_stream(takes: Takes) -> Insert:
    """Return the insertion of a guard row."""
    return insert(STREAMS).values(_values(takes) | {"stream_id": bindparam("stream"), "operation": bindparam("operation")})


def _values(takes: Takes) -> dict[str, Any]:
    values: dict[str, Any] = {name: bindparam(name) for name in ("version", "head_hash", "epoch")}
    values["changed_at"] = DatabaseNow()
    if takes == "claim":
        values |= {"owner": bindparam("owner"), "lease_expires_at": DatabaseNow() + bindparam("lease_seconds", type_=Double)}
    elif takes == "release":
        values |= {"owner": null(), "lease_expires_at": null()}
    return values
