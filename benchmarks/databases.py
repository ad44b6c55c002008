"""The databases that contestants run on: fresh ones, what they are set to, and how many commits reached their disk."""

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit, urlunsplit

import attrs

Urls = Sequence[str]
"""One URL of a database for each node."""


@attrs.define
class Commits:
    """What a database counted during a run: transactions, and waits for the disk where it tells."""

    transactions: int = 0
    syncs: int | None = None


class Place(Protocol):
    """A database engine."""

    name: str

    def fresh(self) -> Urls:
        """Make an empty database."""

    def drop(self, urls: Urls) -> None:
        """Remove a database."""

    def facts(self) -> dict[str, str]:
        """Return version and settings, as the engine itself tells them."""

    @contextmanager
    def counting(self, urls: Urls) -> Iterator[Commits]:
        """Count the commits in a database during the block. On SQLite that holds checkpoints up: measure another time."""

    def close(self) -> None:
        """Stop what was started."""


class Sqlite:
    """Files in a folder."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)

    def fresh(self) -> Urls:
        """Name a file that is not there yet."""
        return (f"sqlite:///{self._folder}/{next(self._numbers)}.db",)

    def drop(self, urls: Urls) -> None:
        """Remove the file, and what SQLite keeps beside it."""
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{_path(urls)}{suffix}").unlink(missing_ok=True)

    def facts(self) -> dict[str, str]:
        """Return the version; the settings are each connection's own, and told by the contestants."""
        return {"version": sqlite3.sqlite_version}

    @contextmanager
    def counting(self, urls: Urls) -> Iterator[Commits]:
        """Count the frames that end a transaction in the write-ahead log, which a reader keeps from starting anew."""
        commits = Commits()
        with closing(sqlite3.connect(_path(urls), isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            before = committed(_path(urls))
            yield commits
            after = committed(_path(urls))
            commits.transactions = after.transactions - (before.transactions if after.log == before.log else 0)

    def close(self) -> None:
        """Nothing: the folder is the caller's."""


@attrs.frozen
class Log:
    """What stands in a write-ahead log. `log` tells one from the next, which starts over in the same file."""

    log: bytes = b""
    transactions: int = 0


def committed(path: str) -> Log:
    """Count the transactions in SQLite's write-ahead log of a database (https://sqlite.org/fileformat2.html#walformat)."""
    log = Path(f"{path}-wal")
    header_bytes, frame_bytes = 32, 24
    with log.open("rb") as file:
        header = file.read(header_bytes)
        if len(header) < header_bytes:
            return Log()
        (page_bytes,) = struct.unpack(">I", header[8:12])
        salts, transactions = header[16:24], 0
        while len(frame := file.read(frame_bytes)) == frame_bytes and frame[8:16] == salts:
            transactions += frame[4:8] != bytes(4)  # the size of the database stands in the last frame of a transaction
            file.seek(page_bytes, 1)
    return Log(salts, transactions)


def _path(urls: Urls) -> str:
    return urls[0].removeprefix("sqlite:///")


class Postgresql:
    """A server, at the URL of one of its databases, whose user may make others."""

    name = "postgresql"
    _SETTINGS: Final = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers")

    def __init__(self, url: str, server: Any = None) -> None:
        self._url = url
        self._server = server
        self._numbers = count(1)

    @classmethod
    def started(cls) -> "Postgresql":
        """Start a server. Raises ServerMissing."""
        from servers.postgresql import USER, PostgresqlServer  # noqa: PLC0415 (only where it is to be started)

        server = PostgresqlServer()
        return cls(f"postgresql://{USER}:secret@127.0.0.1:{server.port}/postgres", server)

    def fresh(self) -> Urls:
        """Make an empty database."""
        name = f"provjournal_bench_{next(self._numbers)}"
        self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._run(f'CREATE DATABASE "{name}"')
        return (urlunsplit(urlsplit(self._url)._replace(path=f"/{name}")),)

    def drop(self, urls: Urls) -> None:
        """Remove it, whoever is still connected."""
        self._run(f'DROP DATABASE "{_database(urls)}" WITH (FORCE)')

    def facts(self) -> dict[str, str]:
        """Ask for the settings."""
        return {name: str(self._run(f"SHOW {name}")) for name in self._SETTINGS}

    @contextmanager
    def counting(self, urls: Urls) -> Iterator[Commits]:
        """Ask what the server counted. Backends tell when they end, so the block must end them."""
        commits = Commits()
        before = self._counted(urls)
        yield commits
        after = self._counted(urls)
        commits.transactions, commits.syncs = after[0] - before[0], after[1] - before[1]

    def close(self) -> None:
        """Stop the server, if it was started for this."""
        if self._server is not None:
            self._server.close()

    def _counted(self, urls: Urls) -> tuple[int, int]:
        transactions = self._run(f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{_database(urls)}'")
        return int(transactions), int(self._run("SELECT wal_sync FROM pg_stat_wal"))

    def _run(self, statement: str) -> Any:
        import psycopg  # noqa: PLC0415 (only where there is such a server)

        with psycopg.connect(self._url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return None if cursor.description is None else (cursor.fetchone() or (None,))[0]


class Galera:
    """Three nodes of a Galera cluster."""

    name = "galera"
    _SETTINGS: Final = ("version", "innodb_flush_log_at_trx_commit", "wsrep_cluster_size", "wsrep_slave_threads")

    def __init__(self) -> None:
        """Start it. Raises ServerMissing."""
        from servers.mariadb import GaleraCluster  # noqa: PLC0415 (only where it is to be started)

        self._cluster = GaleraCluster()
        self._numbers = count(1)

    def fresh(self) -> Urls:
        """Make an empty database, and name it on each node."""
        name = f"provjournal_bench_{next(self._numbers)}"
        self._cluster.nodes[0].make_database(name)
        return tuple(node.url(name) for node in self._cluster.nodes)

    def drop(self, urls: Urls) -> None:
        """Remove it."""
        self._cluster.nodes[0].run(f"DROP DATABASE `{_database(urls)}`")

    def facts(self) -> dict[str, str]:
        """Ask the first node."""
        with self._cluster.nodes[0].connect() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL VARIABLES")
            variables = {str(name): str(value) for name, value in cursor.fetchall()}
        found = {str(name): variables[name] for name in self._SETTINGS if name in variables}
        return found | {"wsrep_cluster_size": self._cluster.nodes[0].status("wsrep_cluster_size")}

    @contextmanager
    def counting(self, urls: Urls) -> Iterator[Commits]:  # noqa: ARG002 (the cluster counts for all of its databases)
        """Ask for the number that the cluster gave to the last transaction."""
        commits = Commits()
        before = int(self._cluster.nodes[0].status("wsrep_last_committed"))
        yield commits
        commits.transactions = int(self._cluster.nodes[0].status("wsrep_last_committed")) - before

    def close(self) -> None:
        """Stop the nodes."""
        self._cluster.close()


def _database(urls: Urls) -> str:
    return urlsplit(urls[0]).path.removeprefix("/")
