"""MariaDB servers: one alone, or three as a Galera cluster."""

import shutil
from pathlib import Path
from typing import Any

import pymysql
from servers.process import ServerMissing, ServerProcess, folder_of, free_ports, run_as

USER = "mysql"
GALERA = Path("/usr/lib/galera/libgalera_smm.so")
SETTINGS = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "ON",
    "performance-schema": "OFF",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "48M",
    "max-connections": "300",
}


class MariadbServer:
    """One server; its superuser is `root`, its user of the tests `j`."""

    def __init__(self, settings: dict[str, str] | None = None, folder: Path | None = None) -> None:
        """Make its files. Raises ServerMissing."""
        program = shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/bin")
        install = shutil.which("mariadb-install-db")
        if program is None or install is None:
            msg = "mariadb-server"
            raise ServerMissing(msg)
        self.folder = folder or folder_of(USER, "mariadb")
        (self.port,) = free_ports(1)
        data = self.folder / "data"
        temporary = f"--tmpdir={self.folder}"  # of its own: a server that starts removes what others have in a shared one
        options = [f"--datadir={data}", temporary, "--auth-root-authentication-method=normal", "--skip-test-db"]
        run_as(USER, [install, "--no-defaults", *options])
        own = {
            "tmpdir": str(self.folder),
            "port": str(self.port),
            "socket": str(self.folder / "socket"),
            "pid-file": str(self.folder / "pid"),
            "datadir": str(data),
        }
        options = [f"--{name}={value}" for name, value in (SETTINGS | own | (settings or {})).items()]
        self.process = ServerProcess(self.folder, [program, "--no-defaults", *options], USER)

    def start(self, *extra: str) -> None:
        """Start it, again if it was killed; a node of a cluster is ready once it has caught up."""
        self.process.start(self._answers, extra)

    def close(self) -> None:
        """Stop it and remove its files."""
        self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def make_user(self) -> None:
        """Make the user of the tests."""
        self.run("CREATE USER IF NOT EXISTS 'j'@'127.0.0.1' IDENTIFIED BY 'secret'")
        self.run("GRANT ALL ON *.* TO 'j'@'127.0.0.1' WITH GRANT OPTION")

    def make_database(self, name: str) -> str:
        """Make an empty database and return its URL."""
        self.run(f"CREATE DATABASE `{name}`")
        return self.url(name)

    def url(self, name: str) -> str:
        """Return the URL of a database, in the form that OpenStack's services use."""
        return f"mysql+pymysql://j:secret@127.0.0.1:{self.port}/{name}?charset=utf8mb4"

    def connect(self, database: str | None = None) -> "pymysql.Connection[Any]":
        """Return a connection of the superuser's."""
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", database=database, autocommit=True)

    def run(self, statement: str) -> None:
        """Run a statement of the superuser's."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def status(self, name: str) -> str:
        """Return a status variable."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW STATUS LIKE %s", (name,))
            row = cursor.fetchone()
        return "" if row is None else str(row[1])

    def has_majority(self) -> bool:
        """Tell whether this node is in the part of a cluster that takes writes."""
        return self.status("wsrep_cluster_status") == "Primary"

    def _answers(self) -> bool:
        try:
            return self.status("wsrep_local_state_comment") in ("", "Synced")
        except pymysql.MySQLError:
            return False


class GaleraCluster:
    """Three nodes that hold the same data, each of which takes writes."""

    def __init__(self, suspect_seconds: int = 30) -> None:
        """Make the nodes' files and start them. Raises ServerMissing.

        `suspect_seconds` is how long a node may be silent until the others go on without it. Short, and a machine that
        stalls splits the cluster; two nodes split after the third was killed stay without a majority until it returns.
        """
        if not GALERA.exists():
            msg = "galera-4"
            raise ServerMissing(msg)
        ports = free_ports(9)
        self.groups = [f"tcp://127.0.0.1:{port}" for port in ports[:3]]
        self.nodes: list[MariadbServer] = []
        try:
            for number in range(3):
                node = MariadbServer(self._settings(number, ports, suspect_seconds))
                self.nodes.append(node)
                node.start(*(["--wsrep-new-cluster"] if number == 0 else []))
                if number == 0:
                    node.make_user()
        except BaseException:
            self.close()
            raise

    def _settings(self, number: int, ports: list[int], suspect_seconds: int) -> dict[str, str]:
        addresses = ",".join(f"127.0.0.1:{port}" for port in ports[:3])
        listening = f"gmcast.listen_addr={self.groups[number]};ist.recv_addr=127.0.0.1:{ports[3 + number]}"
        eviction = f"evs.suspect_timeout=PT{suspect_seconds}S;evs.inactive_timeout=PT{3 * suspect_seconds}S"
        return {
            "binlog-format": "ROW",
            "innodb-autoinc-lock-mode": "2",
            "wsrep-on": "ON",
            "wsrep-provider": str(GALERA),
            "wsrep-cluster-name": "tests",
            "wsrep-cluster-address": f"gcomm://{addresses}",
            "wsrep-node-name": f"node{number}",
            "wsrep-node-address": f"127.0.0.1:{ports[number]}",
            "wsrep-sst-method": "rsync",
            "wsrep-sst-receive-address": f"127.0.0.1:{ports[6 + number]}",
            "wsrep-slave-threads": "2",
            "wsrep-provider-options": f"{listening};gcache.size=32M;{eviction}",
        }

    def close(self) -> None:
        """Stop all nodes and remove their files."""
        for node in reversed(self.nodes):
            node.close()
