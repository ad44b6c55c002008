"""Who may only read a SQLite file, while writers come and go: nothing stale, nothing torn, nothing missed."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from builders import create_server
from contracts.store import begin, follow

from journal.catch_up import CatchUp
from journal.errors import StoreUnavailable
from journal.journal import Journal
from journal.sql.engines import sqlite as sqlite_engine
from journal.sql.store import SqlStore, open_store
from journal.verify import verify_stream

ROOT = Path(__file__).parent.parent.parent
MANY = 400


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/journal.db"
    with closing(open_store(url, upgrade=True)) as store:
        begin(store)
    return url


@pytest.fixture
def reader(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlStore]:
    """A store of somebody without the right to write, which other threads have; nobody has the file open."""
    me = threading.get_ident()
    monkeypatch.setattr(sqlite_engine, "_may_write", lambda _: threading.get_ident() != me)
    with closing(open_store(url)) as store:
        yield store


def write(url: str, do: Callable[[SqlStore], object]) -> None:
    """Do something as somebody who may write, and goes then."""

    def work() -> None:
        with closing(open_store(url)) as writer:
            do(writer)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(work).result()


def append_many(store: SqlStore) -> None:
    last = tuple(store.read("c-1"))
    for _ in range(MANY):
        last = follow(store, last, create_server())


def test_what_writers_leave_is_seen_whole(reader: SqlStore, url: str) -> None:
    for number in range(1, 4):
        write(url, append_many)
        (head,) = reader.heads()
        assert head.version == 1 + number * MANY
        assert len(list(reader.read("c-1"))) == head.version
        assert [damage for damage in verify_stream(reader, head) if damage is not None] == []


def test_what_a_writer_is_at_is_seen(reader: SqlStore, url: str) -> None:
    done, seen = threading.Event(), threading.Event()

    def wait(store: SqlStore) -> None:
        append_many(store)
        done.set()
        assert seen.wait(30)

    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(write, url, wait)
        assert done.wait(30)
        assert len(list(reader.read("c-1"))) == 1 + MANY
        seen.set()
        working.result()
    assert len(list(reader.read("c-1"))) == 1 + MANY


def test_what_changes_while_it_is_read_is_read_again(reader: SqlStore, url: str) -> None:
    looks = []

    def see(connection: object) -> int:
        before = connection.exec_driver_sql("SELECT count(*) FROM events").scalar_one()  # type: ignore[attr-defined]
        looks.append(before)
        if len(looks) == 1:
            write(url, append_many)
        return int(before)

    assert reader._database.look(see) == 1 + MANY  # noqa: SLF001
    assert looks == [1, 1 + MANY]


def test_what_is_torn_while_it_is_read_is_read_again(reader: SqlStore, url: str) -> None:
    looks = 0

    def see(connection: object) -> int:
        nonlocal looks
        looks += 1
        count = connection.exec_driver_sql("SELECT count(*) FROM events").scalar_one()  # type: ignore[attr-defined]
        if looks == 1:
            write(url, append_many)
            connection.exec_driver_sql("SELECT sum(length(data)) FROM events").all()  # type: ignore[attr-defined]
        return int(count)

    assert reader._database.look(see) == 1 + MANY  # noqa: SLF001
    assert looks == 2


def test_a_reader_who_cannot_tell_is_not_sent_to_a_backup(reader: SqlStore, url: str) -> None:
    path = Path(url.removeprefix("sqlite:///"))
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(StoreUnavailable, match="provjournal journal verify") as refused:
        list(reader.read("c-1"))
    assert "backup" not in str(refused.value)
    with closing(sqlite3.connect(path)) as other, pytest.raises(sqlite3.DatabaseError):
        other.execute("SELECT * FROM events").fetchall()


def test_catching_up_misses_nothing_while_writers_come_and_go(reader: SqlStore, url: str) -> None:
    catch_up = CatchUp(reader)
    seen = [event.version for event in catch_up.read()]
    for _ in range(3):
        write(url, append_many)
        seen += [event.version for event in catch_up.read()]
        seen += [event.version for event in catch_up.read()]
    assert seen == list(range(1, 2 + 3 * MANY))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user who may write")
def test_the_tail_of_a_reader_without_rights_misses_nothing(url: str, tmp_path: Path) -> None:
    program = "import sys; from journal.command_line import main; sys.exit(main(sys.argv[1:]))"
    command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", sys.executable, "-c", program]
    for path in tmp_path.iterdir():
        path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with subprocess.Popen(
            [*command, "--journal", url, "event", "tail", "-f", "-n", "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
        ) as tail:
            watchdog = threading.Timer(120, tail.kill)
            watchdog.start()
            try:
                assert tail.stdout is not None
                versions = [tail.stdout.readline().split()[3]]
                for _ in range(2):
                    with Journal.open(url) as journal:
                        for number in range(50):
                            journal.hold("c-1", by="w", reason=f"{number}" * 400)
                    versions += [tail.stdout.readline().split()[3] for _ in range(50)]
                assert versions == [str(version) for version in range(1, 102)]
                tail.send_signal(signal.SIGINT)
                assert tail.wait() == 130
            finally:
                watchdog.cancel()
                tail.kill()
    finally:
        tmp_path.chmod(0o755)
