"""The pytest plugin: histories replayed in tests, golden plans, and folders of histories that are tests.

It is loaded in every run of pytest where the library is installed, so it imports what it needs when it is used.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import pytest

if TYPE_CHECKING:
    from journal.events import Event
    from rollback.testing.replaying import Replayed

    Replay = Callable[[Path | str | Iterable[Event]], Replayed]
    CheckPlan = Callable[[Path | str], None]

P = ParamSpec("P")
T = TypeVar("T")

_INI: Final = "provjournal_histories"
_WRITTEN: Final = "golden_plan"
"""Under which name a test's report says what was written: reports reach the process that tells it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the setting."""
    group = parser.getgroup("provjournal", "histories of the provisioning journal")
    group.addoption("--update-plans", action="store_true", help="write the golden plans of the histories that are tested")
    parser.addini(_INI, "folders of histories (*.jsonl), each of which is tested: its golden plan, and assert_safe", "paths", [])


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker, and have the folders of the setting collected where no paths are given."""
    said = 'histories(folder): run the test with each *.jsonl in this folder, beside the test\'s file, as argument "history"'
    config.addinivalue_line("markers", said)
    config.pluginmanager.register(_Written(), "provjournal_written")
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        given = [config.invocation_params.dir / arg for arg in config.args]
        config.args += [str(f) for f in config.getini(_INI) if not any(f.is_relative_to(arg.resolve()) for arg in given)]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse folders of the setting that hold no history."""
    for folder in session.config.getini(_INI):
        try:
            _histories(folder)
        except FileNotFoundError as error:
            msg = f"{_INI}: {error}"
            raise pytest.UsageError(msg) from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the histories of a folder to a test that is marked with it."""
    marker = metafunc.definition.get_closest_marker("histories")
    if marker is None:
        return
    if len(marker.args) != 1 or marker.kwargs or "history" not in metafunc.fixturenames:
        msg = 'a test that is marked with histories("FOLDER") names one folder and has an argument "history"'
        raise pytest.Collector.CollectError(msg)
    folder = metafunc.definition.path.parent / marker.args[0]
    try:
        found = _histories(folder)
    except FileNotFoundError as error:
        msg = f"histories({marker.args[0]!r}): {error}"
        raise pytest.Collector.CollectError(msg) from error
    metafunc.parametrize("history", found, ids=[file.relative_to(folder).as_posix() for file in found])


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "HistoryFile | None":
    """Collect the histories of the folders of the setting."""
    folders = parent.config.getini(_INI)
    if file_path.suffix == ".jsonl" and any(file_path.is_relative_to(folder) for folder in folders):
        return HistoryFile.from_parent(parent, path=file_path)
    return None


class _Written:
    """Tells at the end which golden plans were written."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test says that it wrote."""
        if report.when == "call":
            self.said += [str(said) for name, said in report.user_properties if name == _WRITTEN]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Tell it."""
        if self.said:
            terminalreporter.section("golden plans")
            for said in self.said:
                terminalreporter.line(said)


@pytest.fixture
def replay(request: pytest.FixtureRequest) -> "Replay":
    """Replay a history, a file or events, to state and plan: `replay("incident-42.jsonl").plan`.

    A relative path starts beside the test's file. A history that the strict reader refuses fails the test.
    """
    from rollback.testing import replaying  # noqa: PLC0415 (this plugin is loaded everywhere)

    def replayed(source: Path | str | Iterable["Event"]) -> "Replayed":
        if isinstance(source, Path | str):
            return _or_fail(replaying.replay, request.path.parent / source)
        return replaying.replay(source)

    return replayed


@pytest.fixture
def golden_plan(request: pytest.FixtureRequest) -> "CheckPlan":
    """Compare what a history file replays to with the plan beside it; with --update-plans, write that."""

    def check(history: Path | str) -> None:
        _or_fail(_check_plan, request.path.parent / history, request.node)

    return check


class HistoryFile(pytest.File):
    """A history of the folders of the setting, which is two tests: its golden plan, and whether it is safe."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the tests."""
        yield PlanItem.from_parent(self, name="plan")
        yield SafeItem.from_parent(self, name="safe")


class HistoryItem(pytest.Item):
    """A test of one history."""

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what went wrong, without the code that found it."""
        from journal.errors import JournalError  # noqa: PLC0415 (this plugin is loaded everywhere)

        if isinstance(excinfo.value, AssertionError | JournalError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return where it is, and what it is called."""
        return self.path, None, f"{self.path.name}: {self.name}"


class PlanItem(HistoryItem):
    """The golden plan of a history is what it replays to."""

    def runtest(self) -> None:
        """Compare, or write."""
        _check_plan(self.path, self)


class SafeItem(HistoryItem):
    """Whatever of a history has happened when everything stops, compensation is safe."""

    def runtest(self) -> None:
        """Check every prefix."""
        from rollback.testing.safety import assert_safe  # noqa: PLC0415 (this plugin is loaded everywhere)

        assert_safe(self.path)


def _check_plan(history: Path, item: pytest.Item) -> None:
    from rollback.testing.golden import check_plan, update_plan  # noqa: PLC0415 (this plugin is loaded everywhere)

    if item.config.getoption("update_plans"):
        said = update_plan(history)
        if said is not None:
            item.user_properties.append((_WRITTEN, said))
    else:
        check_plan(history, f"pytest --update-plans {shlex.quote(item.nodeid)}")


def _or_fail(what: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Call something, and fail with the message alone where a history is refused or is not as it should be."""
    from journal.errors import JournalError  # noqa: PLC0415 (this plugin is loaded everywhere)

    try:
        return what(*args, **named)
    except (AssertionError, JournalError) as error:
        said = str(error)
    pytest.fail(said, pytrace=False)


def _histories(folder: Path) -> list[Path]:
    """Return the histories in a folder and below. Raises FileNotFoundError, with what is wrong."""
    found = sorted(folder.rglob("*.jsonl"))
    if not found:
        msg = f"there is no *.jsonl in folder {folder}" if folder.is_dir() else f"there is no folder {folder}"
        raise FileNotFoundError(msg)
    return found
