"""A PostgreSQL server."""

import shutil
from pathlib import Path
from typing import Any

import psycopg
from servers.process import ServerMissing, ServerProcess, folder_of, free_ports, run_as

USER = "postgres"
SORTED_AS_PEOPLE_DO = ["--locale", "C", "--locale-provider", "icu", "--icu-locale", "en"]
"""Not by bytes, as on most servers that people set up."""

CAREFUL = "careful"
"""A role, if a test makes it, whose password matters; all others are let in without one."""


class PostgresqlServer:
    """One server, whose databases come and go with the tests."""

    def __init__(self) -> None:
        """Make its files and start it. Raises ServerMissing."""
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if not found:
            msg = "postgresql"
            raise ServerMissing(msg)
        programs = found[-1].parent
        self.folder = folder_of(USER, "postgresql")
        (self.port,) = free_ports(1)
        data = self.folder / "data"
        options = ["--username", USER, "--auth", "trust", "--no-sync", "--encoding", "UTF8", *SORTED_AS_PEOPLE_DO]
        run_as(USER, [programs / "initdb", "--pgdata", data, *options])
        access = data / "pg_hba.conf"
        access.write_text(f"host all {CAREFUL} 127.0.0.1/32 scram-sha-256\n{access.read_text()}")
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "log_min_messages": "fatal",
        }
        set_to = [f"--{name}={value}" for name, value in settings.items()]
        self.process = ServerProcess(self.folder, [programs / "postgres", "-D", data, *set_to], USER)
        self.start()

    def start(self) -> None:
        """Start it, again if it was killed."""
        self.process.start(self._answers)

    def close(self) -> None:
        """Stop it and remove its files."""
        self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def make_database(self, name: str, options: str = "") -> str:
        """Make an empty database and return its URL."""
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" {options}')
        return f"postgresql://{USER}:secret@127.0.0.1:{self.port}/{name}"

    def connect(self, database: str = "postgres") -> "psycopg.Connection[Any]":
        """Return a connection of the superuser's."""
        return psycopg.connect(host="127.0.0.1", port=self.port, user=USER, dbname=database, autocommit=True)

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True
