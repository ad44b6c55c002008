"""A database that cannot be used ends in one clear message with the next step, and the journal in it is unharmed."""

import os
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from builders import create_server
from contracts.store import begin, follow
from servers.installed import installed
from servers.mariadb import MariadbServer
from servers.postgresql import PostgresqlServer
from sqlalchemy import event

from journal.command_line import main
from journal.errors import StoreError, StoreUnavailable
from journal.events import HoldPlaced
from journal.sql.engine import Database, parsed
from journal.sql.store import SqlStore, open_store
from journal.verify import verify_stream

if TYPE_CHECKING:
    from journal.events import Event

NOBODY = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"] if os.geteuid() == 0 else []
PATIENCE_SECONDS = 0.5


def fill(store: SqlStore, last: Sequence["Event"]) -> None:
    """Append much, until the store refuses it."""
    for _ in range(100):
        last = follow(store, last, HoldPlaced("ops", secrets.token_hex(200_000)))
    pytest.fail("there is room without end")


def expect_unharmed(store: SqlStore, acknowledged: int) -> None:
    """Everything acknowledged is there, the chain holds, and it goes on."""
    (head,) = store.heads()
    assert head.version >= acknowledged
    assert set(verify_stream(store, head)) == {None}
    follow(store, list(store.read("c-1")), create_server())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of one event."""
    path = tmp_path / "journal.db"
    with closing(open_store(f"sqlite:///{path}", upgrade=True)) as store:
        begin(store)
    return path


def limited(url: str, pragma: str) -> Database:
    database = Database(parsed(url), retry_seconds=PATIENCE_SECONDS)
    event.listen(database.engine, "connect", lambda connection, _: connection.execute(pragma).close())
    return database


def test_a_full_disk_under_sqlite(path: Path) -> None:
    url = f"sqlite:///{path}"
    with closing(SqlStore(limited(url, "PRAGMA max_page_count = 500"))) as store:
        with pytest.raises(StoreUnavailable, match=r"database or disk is full\. Make room where it lies"):
            fill(store, list(store.read("c-1")))
        acknowledged = len(list(store.read("c-1")))
    with closing(open_store(url)) as store:
        expect_unharmed(store, acknowledged)


def test_a_full_disk_under_postgresql() -> None:
    with closing(installed(PostgresqlServer)) as server, closing(open_store(server.make_database("j"), upgrade=True)) as store:
        first, usual = begin(store), server.process.command
        server.process.stop()
        server.process.command = ["bash", "-c", 'ulimit -f 17408; exec "$@"', "-", *usual]
        server.start()
        with pytest.raises(StoreUnavailable, match="File too large HINT: Check free disk space"):
            fill(store, first)
        acknowledged = len(list(store.read("c-1")))
        server.process.stop()
        server.process.command = usual
        server.start()
        expect_unharmed(store, acknowledged)


def test_a_full_disk_under_mariadb() -> None:
    small = {"innodb-file-per-table": "OFF", "innodb-data-file-path": "ibdata1:12M:autoextend:max:20M"}
    with closing(installed(lambda: MariadbServer(small))) as server:
        server.start()
        server.make_user()
        with closing(open_store(server.make_database("j"), upgrade=True)) as store:
            with pytest.raises(StoreUnavailable, match=r"is full.*Make room on the server's disk"):
                fill(store, begin(store))
            acknowledged = len(list(store.read("c-1")))
            (head,) = store.heads()
            assert (head.version, set(verify_stream(store, head))) == (acknowledged, {None})


def test_a_file_that_may_only_be_read_can_be_looked_at(path: Path) -> None:
    url = f"sqlite:///file:{path}?mode=ro&uri=true"
    with closing(open_store(url)) as store:
        first = list(store.read("c-1"))
        assert len(first) == 1
        with pytest.raises(StoreUnavailable, match=r"readonly database\. Work as a user who may write the file and its folder"):
            follow(store, first, create_server())
    with closing(open_store(f"sqlite:///{path}")) as store:
        expect_unharmed(store, 1)


def test_a_file_of_another_user(path: Path) -> None:
    path.chmod(0o444)
    for folder in (path.parent, *path.parent.parents[:2]):
        folder.chmod(0o755 if NOBODY else 0o555)
    command = [Path(sys.executable).with_name("provjournal"), "--journal", f"sqlite:///{path}", "hold", "c-1", "--reason", "x"]
    done = subprocess.run([*NOBODY, *command], capture_output=True, text=True, check=False)
    path.parent.chmod(0o755)
    path.chmod(0o644)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"provjournal: The journal at sqlite:///{path} cannot be ")
    assert done.stderr.endswith("who may write the file and its folder.\n")
    with closing(open_store(f"sqlite:///{path}")) as store:
        expect_unharmed(store, 1)


def test_a_file_that_somebody_keeps_locked(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(SqlStore(limited(f"sqlite:///{path}", "PRAGMA busy_timeout = 100"))) as store:
            first = list(store.read("c-1"))
            with pytest.raises(StoreUnavailable, match=r"is locked\. Another process keeps it locked.* Nothing was recorded"):
                follow(store, first, create_server())
            other.execute("ROLLBACK")
            expect_unharmed(store, 1)


def test_a_file_that_is_no_database_and_a_path_that_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letter.txt").write_text("Dear Sirs,\n" * 500)
    for name, said in (("letter.txt", "It is no journal; check the path."), ("", "Check the path, and that you may write")):
        for command in ("upgrade", "verify", "stats"):
            assert main(["--journal", f"sqlite:///{tmp_path}/{name}", "journal", command]) == 2
            assert said in capsys.readouterr().err
    assert (tmp_path / "letter.txt").read_text() == "Dear Sirs,\n" * 500


@pytest.mark.parametrize(
    ("engine", "wrong", "said"),
    [
        ("postgresql", {"database": "nope"}, 'database "nope" does not exist. Check host, port'),
        ("postgresql", {"username": "nobody"}, 'role "nobody" does not exist. Check host, port'),
        ("postgresql", {"port": 1}, "Check host, port, user, password and database in the URL, and that the server runs"),
        ("postgresql", {"host": "nowhere.invalid"}, "failed to resolve host.* Check host, port"),
        ("mariadb", {"database": "nope"}, "Unknown database.* Check the database in the URL, or make it"),
        ("mariadb", {"password": "wrong"}, "Access denied.* Check user and password in the URL"),
        ("mariadb", {"port": 1}, "Check host and port in the URL, and that the server runs"),
        ("mariadb", {"host": "nowhere.invalid"}, "Check host and port in the URL, and that the server runs"),
    ],
)
def test_a_wrong_url(new_database: Callable[[str], list[str]], engine: str, wrong: dict[str, Any], said: str) -> None:
    (url,) = new_database(engine)
    with pytest.raises(StoreUnavailable, match=said) as refused:
        open_store(parsed(url).set(**wrong).render_as_string(hide_password=False), upgrade=True)
    assert "secret" not in str(refused.value)
    assert "wrong" not in str(refused.value)


@pytest.mark.parametrize("engine", ["postgresql", "mariadb"])
def test_a_server_that_is_set_to_read_only(request: pytest.FixtureRequest, engine: str) -> None:
    server: PostgresqlServer | MariadbServer = request.getfixturevalue(engine)
    name = f"j{uuid4().hex[:12]}"
    url = server.make_database(name)
    with closing(open_store(url, upgrade=True)) as store:
        first = begin(store)
    set_read_only(server, name, "on")
    try:
        database = Database(parsed(url), retry_seconds=PATIENCE_SECONDS)
        with closing(SqlStore(database)) as store, pytest.raises(StoreUnavailable, match="use the one that is written to"):
            follow(store, first, create_server())
    finally:
        set_read_only(server, name, "off")
    with closing(open_store(url)) as store:
        expect_unharmed(store, 1)


def set_read_only(server: PostgresqlServer | MariadbServer, name: str, value: str) -> None:
    if isinstance(server, PostgresqlServer):
        with server.connect() as connection:
            connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}')
    else:
        server.run(f"SET GLOBAL tx_read_only = {value}")


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_postgresql_database_that_cannot_hold_every_text(postgresql: PostgresqlServer, encoding: str) -> None:
    url = postgresql.make_database(
        f"j_{encoding.lower()}", f"ENCODING '{encoding}' LOCALE_PROVIDER libc TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    with pytest.raises(StoreError, match=f"has the encoding {encoding}, expected UTF8"):
        open_store(url, upgrade=True)
