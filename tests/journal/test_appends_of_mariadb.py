"""What MariaDB's few statements must not do: be more than the server takes, or lock what is not theirs."""

from collections.abc import Callable, Sequence
from contextlib import closing

import pytest
from builders import create_server, events
from contracts.store import begin, follow

from journal.events import Completion, Data, Event, HoldPlaced, StepOutcome
from journal.sql.changes import Entry, changes
from journal.sql.engine import Database, parsed
from journal.sql.engines.few_statements import few_statements
from journal.sql.store import open_store


@pytest.fixture
def url(new_database: Callable[[str], list[str]]) -> str:
    return new_database("mariadb")[0]


def after(before: Sequence[Event], *data: Data) -> Entry:
    last = before[-1]
    assert last.hash is not None
    new = events(*data, stream=last.stream, after=last.version, operation=last.operation, previous=last.hash)
    return Entry(new, last.hash, last.epoch, None)


def test_an_append_may_be_longer_than_what_the_server_takes_at_once(url: str) -> None:
    with closing(open_store(url, upgrade=True)) as store:
        many = [HoldPlaced("ops", "x" * 100_000) for _ in range(180)]  # 18 MB; a server takes 16 unless it is told otherwise
        assert len(follow(store, begin(store), *many)) == 180


def test_a_group_locks_no_steps_of_others_although_the_index_is_small(url: str) -> None:
    with closing(open_store(url, upgrade=True)) as store:
        steps = [create_server() for _ in range(6)]
        begun = [follow(store, begin(store, f"s-{number}"), step) for number, step in enumerate(steps)]
    ended = [after(before, Completion(step.step, StepOutcome.SUCCEEDED, "x")) for before, step in zip(begun, steps, strict=True)]
    impatient = f"{url}&init_command=SET innodb_lock_wait_timeout=1"
    with closing(Database(parsed(url))) as one, closing(Database(parsed(impatient))) as other:
        connection = one.engine.raw_connection()
        cursor = connection.cursor()
        for run in few_statements(changes(ended[:5])):
            (cursor.executemany if run.many else cursor.execute)(run.text, run.values)
        assert other.transaction().record(changes(ended[5:])) == ["s-5"]
        connection.rollback()
        connection.close()
