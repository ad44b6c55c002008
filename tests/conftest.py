"""What tests share for the whole run: two local clouds with a real Nova, and one real server of each database engine."""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import pytest
from command import HISTORY, Run
from servers.installed import installed
from servers.mariadb import GaleraCluster, MariadbServer
from servers.postgresql import PostgresqlServer

from examples.cloud import local_cloud
from journal.command_line import main

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
# A shell without job control has what it starts in the background ignore an interrupt, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

CLOUDS = {"nova", "running_full_cloud"}
"""The fixtures that start a cloud."""


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run in two processes: let one have the clouds, the other the database servers, each started once.

    The site is built by one of them.
    """
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if CLOUDS.intersection(fixtures) or item.path.parent.name == "cloud":
            item.add_marker(pytest.mark.xdist_group("cloud"))
        elif "new_database" in fixtures or item.path.parent.name in ("faults", "journal"):
            item.add_marker(pytest.mark.xdist_group("databases"))
        elif "site" in fixtures:
            item.add_marker(pytest.mark.xdist_group("site"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run in several processes each of which would start all clouds and servers: groups stand in node ids."""
    grouped = (item for item in session.items if item.get_closest_marker("xdist_group"))
    if hasattr(session.config, "workerinput") and not all("@" in item.nodeid for item in grouped):
        msg = "this pytest and this pytest-xdist do not go together: tests are not grouped"
        raise pytest.UsageError(msg)


@pytest.fixture(scope="session")
def nova(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A real keystone, placement and nova on loopback; what it yields is the cloud's `ready.json`."""
    state: Path = tmp_path_factory.mktemp("cloud")
    with local_cloud(state) as ready, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OS_CLIENT_CONFIG_FILE", ready["clouds_yaml"])
        yield ready


@pytest.fixture(scope="session")
def running_full_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The same with a real neutron and cinder, either of which comes back four seconds after its death."""
    with local_cloud(tmp_path_factory.mktemp("full-cloud"), "--full", "--respawn", "4") as ready:
        yield ready


@pytest.fixture
def full_cloud(running_full_cloud: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Lets clients find that cloud, and not the small one, for the length of a test."""
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", running_full_cloud["clouds_yaml"])
    return running_full_cloud


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server."""
    with closing(installed(PostgresqlServer)) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariadbServer]:
    """A MariaDB server."""
    with closing(installed(MariadbServer)) as server:
        server.start()
        server.make_user()
        yield server


@pytest.fixture(scope="session")
def galera() -> Iterator[GaleraCluster]:
    """A Galera cluster of three nodes."""
    with closing(installed(GaleraCluster)) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Undo what the command line, run in this process, sets up: its handlers would format every record of later tests."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.setLevel(level)
    for handler in set(root.handlers).difference(handlers):
        root.removeHandler(handler)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on a journal of its own; return exit code, standard output and standard error."""
    monkeypatch.setenv("PROVJOURNAL_URL", f"sqlite:///{tmp_path}/journal.db")
    monkeypatch.delenv("OS_CLOUD", raising=False)
    root, before = logging.getLogger(), list(logging.getLogger().handlers)

    def run(*args: object) -> tuple[int, str, str]:
        capfd.readouterr()
        for handler in set(root.handlers).difference(before):  # a process of its own would have taken them with it
            root.removeHandler(handler)
        try:
            code = main([str(arg) for arg in args])
        except SystemExit as ended:  # argparse leaves this way
            code = int(str(ended.code))
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def filled(run: Run) -> Run:
    """The same, on a journal that has one cluster, whose scale is unfinished."""
    assert run("journal", "upgrade")[0] == 0
    assert run("journal", "import", HISTORY)[0] == 0
    return run


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], list[str]]:
    """Makes an empty database on the engine that it is told, and returns a URL for each of its nodes."""

    def make(engine: str) -> list[str]:
        name = f"j{uuid4().hex[:12]}"
        if engine == "sqlite":
            return [f"sqlite:///{tmp_path}/{name}.db"]
        server = request.getfixturevalue(engine)
        if engine == "galera":
            server.nodes[0].make_database(name)
            return [node.url(name) for node in server.nodes]
        return [server.make_database(name)]

    return make
