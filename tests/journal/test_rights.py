"""The rights that the documentation gives conductors and archivists suffice, and keep the rest away: on real servers, as told."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from command import HISTORY, Run
from contracts.store import finished
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from journal.archive import archive_stream
from journal.errors import StoreUnavailable
from journal.events import OperationKind
from journal.files import read_file
from journal.journal import Journal
from journal.snapshot import Snapshot
from journal.sql.engine import parsed
from journal.sql.store import open_store
from journal.verify import verify_stream

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
POSTGRESQL, MARIADB, ARCHIVIST = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PASSWORD = "of-the-role"  # noqa: S105 (of a server that lives as long as the tests)


class Roles:
    """A journal on a server, and the roles of the documentation, each with rights to this journal only."""

    def __init__(self, url: str, suffix: str) -> None:
        self.url = parsed(url)
        self.suffix = suffix
        self.engine: Engine = create_engine(self.url)
        open_store(url, upgrade=True).close()

    def make(self, role: str, *grants: str) -> str:
        """Make a role with these rights, and return its URL."""
        name = f"{role}_{self.suffix}"
        is_postgresql = self.engine.dialect.name == "postgresql"
        account = name if is_postgresql else f"'{name}'@'127.0.0.1'"
        how = f"PASSWORD '{PASSWORD}' LOGIN" if is_postgresql else f"IDENTIFIED BY '{PASSWORD}'"
        self.run(f"CREATE {'ROLE' if is_postgresql else 'USER'} {account} {how}")
        for grant in "".join(grants).split(";"):
            told = re.sub(r"\bTO (conductor|archivist)\b", f"TO {account}", grant)
            self.run(told if is_postgresql else told.replace("journal.", f"{self.url.database}."))
        return self.url_of(name)

    def url_of(self, name: str) -> str:
        url: URL = self.url.set(username=name, password=PASSWORD)
        return url.render_as_string(hide_password=False)

    def run(self, statement: str) -> None:
        if statement.strip():
            with self.engine.begin() as connection:
                connection.exec_driver_sql(statement)


@pytest.fixture(params=["postgresql", "mariadb", "galera"])
def roles(request: pytest.FixtureRequest, new_database: Callable[[str], list[str]]) -> Iterator[Roles]:
    roles = Roles(new_database(request.param)[0], uuid4().hex[:8])
    yield roles
    roles.engine.dispose()


@pytest.fixture
def conductor(roles: Roles) -> str:
    return roles.make("conductor", POSTGRESQL if roles.engine.dialect.name == "postgresql" else MARIADB)


@contextmanager
def refused(url: str) -> Iterator[Any]:
    engine = create_engine(parsed(url))
    with engine.connect() as connection, pytest.raises(DBAPIError, match=r"(?i)denied|must be owner|privilege") as refusal:
        yield connection
    engine.dispose()
    assert "never changed or removed" not in str(refusal.value), "refused by the rights, before any trigger"


def test_a_conductor_can_do_all_its_work(conductor: str) -> None:
    with Journal.open(conductor, conductor="a") as journal:
        operation = journal.begin("c-1", OperationKind.CREATE, "RegionOne/p")
        with operation.create_server("worker", "w1") as step:
            step.created("vm-1")
        journal.store.renew("c-1", journal.claim, epoch=1)
        operation.succeed()
        journal.store.release("c-1", "a", epoch=1)
        journal.hold("c-1", by="ops", reason="look")
        journal.release("c-1", by="ops", reason="looked")
        journal.request_deletion("c-1", by="user")
        for version in (1, 2):
            journal.store.keep_snapshot(Snapshot("c-1", version, "0" * 64, "me", "{}"))
        (head,) = journal.store.heads(changed_since=datetime.now(UTC) - timedelta(hours=1))
        assert set(verify_stream(journal.store, head)) == {None}
        assert list(journal.store.unfinished_steps()) == []
        assert journal.store.size_bytes() >= 0


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events",
        "UPDATE events SET data = '{}'",
        "TRUNCATE TABLE events",
        "DROP TABLE events",
        "DELETE FROM streams",
        "UPDATE streams SET archived_to = 'x'",
        "UPDATE journal SET id = 'x'",
        "ALTER TABLE events ADD COLUMN x INT",
    ],
)
def test_a_conductor_cannot_touch_what_stands(roles: Roles, conductor: str, statement: str) -> None:
    with refused(conductor) as connection:
        connection.execute(text(statement))


def test_who_looks_needs_no_more_than_select(roles: Roles, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = POSTGRESQL if roles.engine.dialect.name == "postgresql" else MARIADB
    (select,) = [grant.strip() for grant in whole.split(";") if grant.strip().startswith("GRANT SELECT")]
    monkeypatch.setenv("PROVJOURNAL_URL", roles.url.render_as_string(hide_password=False))
    assert run("journal", "import", HISTORY)[0] == 0
    monkeypatch.setenv("PROVJOURNAL_URL", roles.make("reader", select.replace("TO conductor", "TO conductor;")))
    for command in ("cluster list", "cluster show c-1", "plan show c-1", "event list", "step list", "server explain id-w1"):
        assert run(*command.split())[0] == 0
    assert run("journal", "verify")[0] == 0
    assert run("health", "-f", "value")[0] == 1
    code, _, err = run("hold", "c-1", "--reason", "x")
    assert (code, "denied" in err) == (2, True)


def test_a_conductor_cannot_switch_off_the_triggers(roles: Roles, conductor: str) -> None:
    postgresql = roles.engine.dialect.name == "postgresql"
    with refused(conductor) as connection:
        connection.execute(
            text("DROP TRIGGER events_refuse_delete ON events" if postgresql else "DROP TRIGGER events_refuse_DELETE")
        )


def test_a_conductor_cannot_archive_and_an_archivist_can(roles: Roles, conductor: str, tmp_path: Path) -> None:
    postgresql = roles.engine.dialect.name == "postgresql"
    archivist = roles.make("archivist", POSTGRESQL if postgresql else MARIADB, ARCHIVIST)
    with closing(open_store(conductor)) as store:
        history = list(finished(store, "c-1"))
        (head,) = store.heads()
        with pytest.raises(StoreUnavailable, match=r"(?i)denied"):
            archive_stream(store, head, tmp_path)
        assert list(store.read("c-1")) == history
    with closing(open_store(archivist)) as store:
        file = archive_stream(store, head, tmp_path)
        assert list(store.read("c-1")) == []
        store.restore("c-1", lambda: read_file(file))
        assert list(store.read("c-1")) == history
