"""PostgreSQL: appends as one statement, which is one round trip and one wait for the disk.

Each append is on its own: only where its guard row was hit are its events inserted and the index changed. Names of streams
and ids of steps stand where a planner that knows nothing of the tables yet uses the primary keys. One append alone names its
stream as one value: a list would be planned anew each time in a large journal, as any list could be longer.
"""

from collections.abc import Collection
from typing import Any, Final

import msgspec
from sqlalchemy.engine.interfaces import DBAPIConnection

from journal.sql.changes import Changes

_NOW: Final = "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"
_GUARD: Final = f"""
WITH guard AS (
    UPDATE streams SET
        version = swap.version, head_hash = swap.head_hash, epoch = swap.epoch, changed_at = {_NOW},
        operation = CASE WHEN swap.sets_operation THEN swap.operation ELSE streams.operation END,
        owner = CASE swap.takes WHEN 'claim' THEN swap.owner WHEN 'release' THEN NULL ELSE streams.owner END,
        lease_expires_at = CASE swap.takes
            WHEN 'claim' THEN {_NOW} + swap.lease_seconds WHEN 'release' THEN NULL ELSE streams.lease_expires_at END
    FROM json_to_recordset(%(swaps)s::json) AS swap (
        stream text COLLATE "C", before bigint, epoch_before bigint, hash_before text,
        version bigint, head_hash text, epoch bigint,
        sets_operation boolean, operation text, takes text, owner text, lease_seconds double precision)
    WHERE {{}}
        AND streams.stream_id = swap.stream AND streams.version = swap.before AND streams.epoch = swap.epoch_before
        AND streams.head_hash = swap.hash_before AND streams.archived_to IS NULL
        AND (swap.takes IS DISTINCT FROM 'claim' OR streams.owner IS NULL OR streams.owner = swap.owner
            OR streams.lease_expires_at <= {_NOW})
    RETURNING streams.stream_id
), inserted AS (
    INSERT INTO events (stream_id, version, event_id, type, schema, recorded_at, epoch, operation, data, hash)
    SELECT event.* FROM guard JOIN json_to_recordset(%(events)s::json) AS event (
        stream_id text COLLATE "C", version bigint, event_id text, type text, schema integer,
        recorded_at text, epoch bigint, operation text, data text, hash text) USING (stream_id)
)"""  # noqa: S608 (nothing but the clock is put in)
_ONE: Final = _GUARD.format("streams.stream_id = %(stream)s")
_SEVERAL: Final = _GUARD.format("streams.stream_id = ANY (%(streams)s::varchar[])")
_INDEX: Final = {
    "ended": """, ended AS (
    DELETE FROM unfinished_steps USING guard
    WHERE unfinished_steps.stream_id = guard.stream_id AND guard.stream_id = ANY (%(ended)s::varchar[])
)""",
    "begun": """, begun AS (
    INSERT INTO unfinished_steps (stream_id, step, version, operation, stage, action, subject, recorded_at, deadline)
    SELECT step.* FROM guard JOIN json_to_recordset(%(begun)s::json) AS step (
        stream_id text COLLATE "C", step text, version bigint, operation text, stage text, action text,
        subject text, recorded_at text, deadline text) USING (stream_id)
)""",
    "done": """, done AS (
    DELETE FROM unfinished_steps USING guard JOIN json_to_recordset(%(done)s::json) AS step (
        stream_id text COLLATE "C", step text) USING (stream_id)
    WHERE unfinished_steps.stream_id = guard.stream_id AND unfinished_steps.step = step.step
)""",
}
"""What changes the index of unfinished steps; left out where there is nothing of the kind."""
IDLE: Final = 0
"""A connection whose last statement was answered, and that is in no transaction: libpq's PQTRANS_IDLE."""


def record_at_once(connection: DBAPIConnection, changes: Changes) -> Collection[str]:
    """Record appends that stand alone, and return the streams whose guard row was hit once that is durable."""
    driver: Any = connection
    index: dict[str, Any] = {}
    if changes.ended:
        index["ended"] = [*changes.ended]
    if changes.begun:
        index["begun"] = _json([*changes.begun.values()])
    if changes.done:
        index["done"] = _json(changes.done)
    streams = changes.streams
    guard, named = (_ONE, {"stream": streams[0]}) if len(streams) == 1 else (_SEVERAL, {"streams": streams})
    values = {
        **named,
        "swaps": _json([{**swap.values, "takes": swap.takes, "sets_operation": swap.sets_operation} for swap in changes.swaps]),
        "events": _json(changes.events),
        **index,
    }
    statement = "".join((guard, *(_INDEX[name] for name in index), "\nSELECT stream_id FROM guard"))
    driver.autocommit = True
    try:
        return [stream for (stream,) in driver.execute(statement, values)]
    finally:
        if driver.info.transaction_status == IDLE:  # else it was interrupted in the middle of an answer, and cannot be used
            driver.autocommit = False


def _json(rows: object) -> str:
    return msgspec.json.encode(rows).decode()
