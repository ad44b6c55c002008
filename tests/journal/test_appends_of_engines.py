"""PostgreSQL's one statement for appends, and MariaDB's few, do what the statements of any engine do, one append at a time."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest
from builders import create_server, events, started
from sqlalchemy import select

from journal.codec import FIRST_HASH
from journal.events import (
    ClusterStatus,
    Completion,
    Data,
    Event,
    OperationFinished,
    OperationOutcome,
    OwnershipTaken,
    StepOutcome,
)
from journal.sql.changes import Entry, changes
from journal.sql.engine import Database, parsed
from journal.sql.engines.mariadb import Mariadb
from journal.sql.engines.postgresql import Postgresql
from journal.sql.schema import EVENTS, STREAMS, UNFINISHED_STEPS
from journal.sql.store import open_store
from journal.sql.transaction import Connections, Transaction
from journal.store import Claim

STREAMS_OF_ALL = ("a", "B", "ü", "it's", 'c "1" \\')


class SlowPostgresql(Postgresql):
    """PostgreSQL without its one statement."""

    at_once = None  # type: ignore[assignment]  (the port's None)


class SlowMariadb(Mariadb):
    """MariaDB with a statement for each row."""

    few = None  # type: ignore[assignment]  (the port's None)


@attrs.define
class Writer:
    """Makes the next append of a stream, right or wrong, knowing what is recorded."""

    stream: str
    chance: random.Random
    recorded: list[Event] = attrs.field(factory=list)
    open_steps: list[UUID] = attrs.field(factory=list)
    operation: UUID = attrs.field(factory=uuid4)

    def next(self) -> Entry:
        if not self.recorded:
            return Entry(events(started(), stream=self.stream, operation=self.operation), FIRST_HASH, 1, self._claim())
        last = self.recorded[-1]
        assert last.hash is not None
        epoch = last.epoch + self.chance.choice((0, 0, 0, 1))
        new = events(
            *self._data(taken=epoch > last.epoch),
            stream=self.stream,
            after=last.version + self.chance.choice((0, 0, 0, 0, 1)),
            epoch=epoch,
            operation=self.operation,
            previous=last.hash,
        )
        wrong_hash = self.chance.random() < 0.1
        wrong_epoch = self.chance.random() < 0.1
        return Entry(new, FIRST_HASH if wrong_hash else last.hash, last.epoch - wrong_epoch, self._claim())

    def note(self, entry: Entry) -> None:
        """Take in what was recorded."""
        self.recorded += entry.events
        for event in entry.events:
            match event.data:
                case Completion(step=step):
                    self.open_steps.remove(step)
                case OperationFinished():
                    self.open_steps.clear()
                case data if hasattr(data, "step"):
                    self.open_steps.append(data.step)
                case _:
                    pass

    def _data(self, *, taken: bool) -> Iterator[Data]:
        if taken:
            yield OwnershipTaken("conductor-b", "it is gone")
        begun = create_server(self.chance.choice(("w1", "grün\t", "\\u0000 'x' {}")))
        yield begun
        done = self.chance.sample(self.open_steps, min(len(self.open_steps), self.chance.choice((0, 1, 2))))
        yield from (Completion(step, StepOutcome.SUCCEEDED, str(uuid4())) for step in done)
        if self.chance.random() < 0.3:
            yield Completion(begun.step, StepOutcome.FAILED, None, "no quota")
        if self.chance.random() < 0.1:
            yield OperationFinished(OperationOutcome.SUCCEEDED, ClusterStatus.ACTIVE, "")
            yield started()
            yield create_server()

    def _claim(self) -> Claim | None:
        return self.chance.choice((None, None, Claim("conductor-a", 1000), Claim("conductor-b", 1000), Claim("conductor-a", 0)))


@pytest.fixture(params=["postgresql", "mariadb"])
def databases(request: pytest.FixtureRequest, new_database: Callable[[str], list[str]]) -> Iterator[tuple[Database, Database]]:
    both = []
    for _ in range(2):
        (url,) = new_database(request.param)
        open_store(url, upgrade=True).close()
        both.append(Database(parsed(url)))
    yield both[0], both[1]
    for database in both:
        database.close()


def stored(database: Database) -> Sequence[Any]:
    """Return all rows, but for what comes of the clock: of that, whether it is there."""
    plain = [column for column in STREAMS.c if column.name not in ("changed_at", "lease_expires_at")]
    streams = select(*plain, STREAMS.c.changed_at > 0, STREAMS.c.lease_expires_at.is_(None)).order_by(STREAMS.c.stream_id)
    return (
        database.rows(streams),
        database.rows(select(EVENTS).order_by(EVENTS.c.stream_id, EVENTS.c.version)),
        database.rows(select(UNFINISHED_STEPS).order_by(UNFINISHED_STEPS.c.step)),
    )


def recorded(database: Database, entries: Sequence[Entry]) -> set[str]:
    """Record as a group, and those that were left alone each by itself, as group commit does."""
    hit = set(database.transaction().record(changes(entries)))
    left = [entry for entry in entries if entry.stream not in hit]
    return hit.union(*(database.transaction().record(changes([entry])) for entry in left))


@pytest.mark.parametrize("seed", range(3))
def test_it_leaves_the_same_tables_and_hits_the_same_streams(databases: tuple[Database, Database], seed: int) -> None:
    one, other = databases
    slow = SlowMariadb() if isinstance(one.backend, Mariadb) else SlowPostgresql()
    chance = random.Random(seed)
    writers = [Writer(stream, chance) for stream in STREAMS_OF_ALL]
    outcomes = set()
    of_other = Connections(other.engine)
    for _ in range(100):
        batch = [(writer, writer.next()) for writer in chance.sample(writers, chance.randint(1, len(writers)))]
        new = [pair for pair in batch if not pair[0].recorded]
        for together in ([pair] for pair in new), [[pair for pair in batch if pair not in new]]:
            for group in filter(None, together):
                hit = recorded(one, [entry for _, entry in group])
                alone = [Transaction(of_other, slow, {}).record(changes([entry])) for _, entry in group]
                assert hit == {stream for streams in alone for stream in streams}
                for writer, entry in group:
                    if writer.stream in hit:
                        writer.note(entry)
                outcomes |= {(len(group) > 1, len(hit) == len(group))}
    of_other.close()
    assert outcomes >= {(True, True), (True, False)}
    assert stored(one) == stored(other)
    assert len(stored(one)[2]) == sum(len(writer.open_steps) for writer in writers) > 0
