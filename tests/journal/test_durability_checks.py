"""At the start, settings weaker than the promise are named, and refused where that is asked for."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import psutil
import pytest
from servers.mariadb import MariadbServer
from servers.postgresql import PostgresqlServer

from journal.command_line import main
from journal.errors import WeakDurability
from journal.sql.engines.sqlite import file_system
from journal.sql.store import open_store


class Mount(NamedTuple):
    mountpoint: str
    fstype: str


@pytest.fixture
def postgresql_url(postgresql: PostgresqlServer) -> str:
    return postgresql.make_database(f"j{uuid4().hex[:12]}")


@pytest.fixture
def mariadb_url(mariadb: MariadbServer) -> Iterator[str]:
    yield mariadb.make_database(f"j{uuid4().hex[:12]}")
    mariadb.run("SET GLOBAL innodb_flush_log_at_trx_commit = 1")


def named(url: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Open a journal, strictly and not, and return what is said of it."""
    with pytest.raises(WeakDurability) as refused:
        open_store(url, strict=True)
    assert "secret" not in str(refused.value)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        open_store(url).close()
    assert [
        record.getMessage().endswith(weakness) for record, weakness in zip(caplog.records, refused.value.weaknesses, strict=True)
    ]
    assert "secret" not in caplog.text
    return list(refused.value.weaknesses)


def test_the_defaults_are_as_strong_as_the_promise(
    postgresql_url: str, mariadb_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for url in (postgresql_url, mariadb_url, f"sqlite:///{tmp_path}/journal.db"):
            open_store(url, upgrade=True, strict=True).close()
    assert caplog.records == []


def test_postgresql_that_does_not_wait_for_the_disk(
    postgresql: PostgresqlServer, postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    open_store(postgresql_url, upgrade=True).close()
    with closing(postgresql.connect()) as connection:
        connection.execute(f"ALTER DATABASE {postgresql_url.rpartition('/')[2]} SET synchronous_commit = off")
    (weakness,) = named(postgresql_url, caplog)
    assert weakness.startswith("synchronous_commit is off, expected on")


def test_mariadb_as_guides_to_high_availability_set_it(
    mariadb: MariadbServer, mariadb_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    open_store(mariadb_url, upgrade=True).close()
    mariadb.run("SET GLOBAL innodb_flush_log_at_trx_commit = 0")
    assert named(mariadb_url, caplog) == ["innodb_flush_log_at_trx_commit is 0, expected 1"]


def test_a_table_without_transactions(mariadb: MariadbServer, mariadb_url: str, caplog: pytest.LogCaptureFixture) -> None:
    open_store(mariadb_url, upgrade=True).close()
    database = mariadb_url.rpartition("/")[2].partition("?")[0]
    mariadb.run(f"ALTER TABLE {database}.unfinished_steps ENGINE = Aria")
    assert named(mariadb_url, caplog) == ["table unfinished_steps is kept by Aria, expected InnoDB"]


def test_sqlite_on_a_network_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    open_store(url, upgrade=True).close()
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [Mount("/", "ext4"), Mount(str(tmp_path), "nfs4")])
    assert main(["cluster", "list", "--journal", url, "--strict"]) == 2
    assert "lies on a network file system (nfs4)" in capfd.readouterr().err
    assert main(["cluster", "list", "--journal", url]) == 0
    assert "could lose what it has acknowledged" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/srv/journal.db", "ext4"), ("/srv/shared/journal.db", "cifs"), ("/srv/sharedx/journal.db", "ext4"), ("/home/a", "xfs")],
)
def test_the_innermost_mount_tells_the_file_system(path: str, kind: str) -> None:
    mounts = [("/", "xfs"), ("/srv", "nfs"), ("/srv", "ext4"), ("/srv/shared", "cifs")]
    assert file_system(Path(path), mounts) == kind
