"""An append to PostgreSQL that is interrupted in the middle of its answer: who interrupts is heard, and nothing is claimed."""

import signal
import threading
from collections.abc import Callable

import psycopg
import pytest
from builders import create_server, events
from contracts.store import begin
from waiting import until

from journal.sql.changes import Entry, changes
from journal.sql.store import open_store

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class TimesUp(BaseException):
    """Neither a KeyboardInterrupt nor a SystemExit, which the driver knows: as eventlet's and gevent's are."""


class Late(Exception):
    """The same, as others make theirs."""


def waits(connection: "psycopg.Connection[tuple[int]]", number: int) -> None:
    until(lambda: connection.execute(WAITING).fetchone() == (number,))


@pytest.mark.parametrize("interrupt", [TimesUp, Late])
def test_an_interrupted_append_may_be_recorded(new_database: Callable[[str], list[str]], interrupt: type[BaseException]) -> None:
    (url,) = new_database("postgresql")
    store = open_store(url, upgrade=True)
    (first,) = begin(store, "s")
    assert first.hash is not None
    new = events(create_server(), stream="s", after=1, operation=first.operation, previous=first.hash)
    transaction = store._database.transaction()  # noqa: SLF001 (what a group does)
    locker, looker = psycopg.connect(url), psycopg.connect(url, autocommit=True)
    locker.execute("SELECT * FROM streams FOR UPDATE")

    def stop(*_: object) -> None:
        raise interrupt

    def send() -> None:
        waits(looker, 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, stop)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        with pytest.raises(interrupt) as raised:
            transaction.record(changes([Entry(new, first.hash, 1, None)]))
    finally:
        signal.signal(signal.SIGUSR1, before)
        sender.join()
    assert transaction.may_be_recorded(raised.value)
    locker.rollback()
    assert store.append(new, previous_hash=first.hash, expected_epoch=1) == new
    assert [event.version for event in store.read("s")] == [1, 2]
    for connection in (locker, looker):
        connection.close()
    store.close()
