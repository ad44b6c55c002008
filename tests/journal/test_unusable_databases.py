"""A database that cannot be used ends in one clear message with the next step, and the journal in it is unharmed."""

import os
import re
import resource
import secrets
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from builders import create_server
from contracts.store import begin, follow
from servers.installed import installed
from servers.mariadb import MariadbServer
from servers.postgresql import CAREFUL, PostgresqlServer
from sqlalchemy import event

from journal.command_line import main
from journal.errors import AppendOutcomeUnknown, JournalError, StoreError, StoreUnavailable
from journal.events import HoldPlaced
from journal.sql.engine import RETRY_SECONDS, Database, parsed, shown
from journal.sql.engines import mariadb as mariadb_engine
from journal.sql.engines import postgresql as postgresql_engine
from journal.sql.store import SqlStore, open_store
from journal.verify import verify_stream

if TYPE_CHECKING:
    from journal.events import Event

NOBODY = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"] if os.geteuid() == 0 else []
PATIENCE_SECONDS = 0.5


@contextmanager
def refused(url: str, said: str, error: type[JournalError] = StoreUnavailable) -> Iterator[None]:
    """Expect an error in one line that names the journal without its password."""
    with pytest.raises(error, match=said) as found:
        yield
    message, password = str(found.value), parsed(url).password
    assert f"The journal at {shown(parsed(url))} cannot be " in message
    assert password is None or str(password) not in message
    assert "\n" not in message


def fill(store: SqlStore, acknowledged: list["Event"]) -> None:
    """Append much, until the store refuses it, and remember what was acknowledged."""
    for _ in range(100):
        acknowledged += follow(store, acknowledged[-1:], HoldPlaced("ops", secrets.token_hex(200_000)))
    pytest.fail("there is room without end")


def expect_unharmed(store: SqlStore, acknowledged: list["Event"]) -> None:
    """What was acknowledged is there, once, and nothing else; it goes on, and the chain holds."""
    assert list(store.read("c-1")) == acknowledged
    follow(store, acknowledged[-1:], create_server())
    (head,) = store.heads()
    assert head.version == len(acknowledged) + 1
    assert set(verify_stream(store, head)) == {None}


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let this process write no file beyond a size."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of one event."""
    path = tmp_path / "journal.db"
    with closing(open_store(f"sqlite:///{path}", upgrade=True)) as store:
        begin(store)
    return path


@pytest.fixture
def first(path: Path) -> list["Event"]:
    """What that journal holds before anything happens to it."""
    with closing(open_store(f"sqlite:///{path}")) as store:
        return list(store.read("c-1"))


def limited(url: str, pragma: str, retry_seconds: float = RETRY_SECONDS) -> Database:
    database = Database(parsed(url), retry_seconds=retry_seconds)
    event.listen(database.engine, "connect", lambda connection, _: connection.execute(pragma).close())
    return database


def test_a_full_disk_under_sqlite(path: Path, first: list["Event"]) -> None:
    url = f"sqlite:///{path}"
    said = r"database or disk is full\. Make room where it lies"
    with closing(SqlStore(limited(url, "PRAGMA max_page_count = 500"))) as store, refused(url, said):
        fill(store, first)
    with closing(open_store(url)) as store:
        expect_unharmed(store, first)


def test_a_disk_under_sqlite_that_fails_at_a_commit(path: Path, first: list["Event"]) -> None:
    url = f"sqlite:///{path}"
    said = r"not known whether.*disk I/O error\. Look at its disk.*Append the same events again"
    with closing(open_store(url)) as store:
        with files_up_to(3_000_000), refused(url, said, AppendOutcomeUnknown):
            fill(store, first)
        expect_unharmed(store, first)


def test_a_full_disk_under_postgresql() -> None:
    with closing(installed(PostgresqlServer)) as server:
        url, usual = server.make_database("j"), server.process.command
        with closing(open_store(url, upgrade=True)) as store:
            acknowledged = [*begin(store)]
            server.process.stop()
            server.process.command = ["bash", "-c", 'ulimit -f 17408; exec "$@"', "-", *usual]
            server.start()
            with refused(url, "File too large HINT: Check free disk space"):
                fill(store, acknowledged)
            server.process.stop()
            server.process.command = usual
            server.start()
            expect_unharmed(store, acknowledged)


def test_a_full_disk_under_mariadb() -> None:
    small = {"innodb-file-per-table": "OFF", "innodb-data-file-path": "ibdata1:12M:autoextend:max:20M"}
    with closing(installed(lambda: MariadbServer(small))) as server:
        server.start()
        server.make_user()
        url = server.make_database("j")
        with closing(open_store(url, upgrade=True)) as store:
            acknowledged = [*begin(store)]
            with refused(url, r"is full.*Make room on the server's disk"):
                fill(store, acknowledged)
            server.process.stop()
            server.process.command = [str(part).removesuffix(":max:20M") for part in server.process.command]
            server.start()
            expect_unharmed(store, acknowledged)


def test_a_file_that_may_only_be_read_can_be_looked_at(path: Path, first: list["Event"]) -> None:
    url = f"sqlite:///file:{path}?mode=ro&uri=true"
    with closing(open_store(url)) as store:
        assert list(store.read("c-1")) == first
        with refused(url, r"readonly database\. Work as a user who may write the file and its folder"):
            follow(store, first, create_server())
    with closing(open_store(f"sqlite:///{path}")) as store:
        expect_unharmed(store, first)


@pytest.mark.parametrize("mode", [0o444, 0o666], ids=["file and folder", "folder alone"])
def test_what_another_user_may_not_write(path: Path, first: list["Event"], mode: int) -> None:
    path.chmod(mode)
    for folder in (folder for folder in path.parents if "pytest-of-" in str(folder)):
        folder.chmod(0o755 if NOBODY else 0o555)
    command = [Path(sys.executable).with_name("provjournal"), "--journal", f"sqlite:///{path}", "hold", "c-1", "--reason", "x"]
    done = subprocess.run([*NOBODY, *command], capture_output=True, text=True, check=False)
    path.parent.chmod(0o755)
    path.chmod(0o644)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"provjournal: The journal at sqlite:///{path} cannot be ")
    assert done.stderr.endswith(" may write the file and its folder.\n")
    with closing(open_store(f"sqlite:///{path}")) as store:
        expect_unharmed(store, first)


def test_a_file_that_somebody_keeps_locked(path: Path, first: list["Event"]) -> None:
    url = f"sqlite:///{path}"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(SqlStore(limited(url, "PRAGMA busy_timeout = 100", PATIENCE_SECONDS))) as store:
            with refused(url, r"is locked\. Another process keeps it locked.* Nothing was recorded"):
                follow(store, first, create_server())
            other.execute("ROLLBACK")
            expect_unharmed(store, first)


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
def test_a_wrong_url(
    new_database: Callable[[str], list[str]], capsys: pytest.CaptureFixture[str], engine: str, wrong: dict[str, Any], said: str
) -> None:
    (url,) = new_database(engine)
    expect_told(parsed(url).set(**wrong).render_as_string(hide_password=False), said, capsys)


def test_a_wrong_password_on_postgresql(postgresql: PostgresqlServer, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"j{uuid4().hex[:12]}"
    with postgresql.connect() as connection:
        connection.execute(f"CREATE ROLE {CAREFUL} LOGIN PASSWORD 'secret'")
    url = parsed(postgresql.make_database(name, f"OWNER {CAREFUL}")).set(username=CAREFUL)
    open_store(url.render_as_string(hide_password=False), upgrade=True).close()
    wrong = url.set(password=uuid4().hex).render_as_string(hide_password=False)
    expect_told(wrong, "password authentication failed.* Check host, port, user, password and database in the URL", capsys)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://j:secret@127.0.0.1:{port}/j", "timeout expired.* Check host, port"),
        ("mysql+pymysql://j:secret@127.0.0.1:{port}/j", "timed out.* Check host and port in the URL, and that the server there"),
    ],
)
def test_a_port_where_nobody_answers(monkeypatch: pytest.MonkeyPatch, url: str, said: str) -> None:
    monkeypatch.setattr(postgresql_engine, "CONNECT_SECONDS", 2)
    monkeypatch.setattr(mariadb_engine, "ANSWER_SECONDS", 1)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        asked = url.format(port=silent.getsockname()[1])
        with refused(asked, said):
            open_store(asked)


def expect_told(url: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Expect the library to refuse a URL, and the command line to tell of it in the same words."""
    with refused(url, said):
        open_store(url, upgrade=True)
    assert main(["--journal", url, "journal", "verify"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"provjournal: The journal at {shown(parsed(url)).replace('***', '[redacted]')} cannot be ")
    assert re.search(said, told)
    assert told.count("\n") == 1
    assert str(parsed(url).password) not in told


@pytest.mark.parametrize("engine", ["postgresql", "mariadb"])
def test_a_server_that_is_set_to_read_only(request: pytest.FixtureRequest, engine: str) -> None:
    server: PostgresqlServer | MariadbServer = request.getfixturevalue(engine)
    name = f"j{uuid4().hex[:12]}"
    url = server.make_database(name)
    with closing(open_store(url, upgrade=True)) as store:
        first = [*begin(store)]
    set_read_only(server, name, "on")
    try:
        database = Database(parsed(url), retry_seconds=PATIENCE_SECONDS)
        with closing(SqlStore(database)) as store, refused(url, "use the one that is written to"):
            follow(store, first, create_server())
    finally:
        set_read_only(server, name, "off")
    with closing(open_store(url)) as store:
        expect_unharmed(store, first)


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
    with refused(url, f"has the encoding {encoding}, expected UTF8. Make another database", StoreError):
        open_store(url, upgrade=True)
