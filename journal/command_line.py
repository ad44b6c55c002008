"""The command line's frame: the application, how commands reach the journal, and how errors end.

Each package brings its own commands, as entry points of the group `provjournal.commands`; nothing here knows them.
"""

import argparse
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from importlib.metadata import version
from typing import Any, Final

from cliff.app import App
from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from journal.command_list import Commands
from journal.errors import (
    AppendOutcomeUnknown,
    Fenced,
    JournalError,
    JournalRegressed,
    OwnerAlive,
    UnknownStream,
    VersionConflict,
)
from journal.journal import Journal
from journal.redaction import RedactingFilter, redacted_text
from journal.steps import reason_of
from journal.wording import counted as counted  # noqa: PLC0414 (commands take it from here)
from journal.wording import legible

OK: Final = 0
PROBLEM: Final = 1
"""A problem was found, or is left."""
UNREADABLE: Final = 2
"""Wrong usage, or input that cannot be read."""
REFUSED: Final = 3
"""Something stands against it: a hold, a living owner, a limit, or a plan or an epoch that is not the present one."""
INTERRUPTED: Final = 130

FOR_PROGRAMS: Final = ("json", "yaml")
"""The formats that tell any text as it is, with escapes of their own."""

_LOG: Final = logging.getLogger(__name__)
ERRORS: Final = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
TOLD: Final = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
"""What is told on the way: notes and progress, which `--quiet` silences."""


class CommandError(Exception):
    """Something the user has to put right: shown without a traceback; `details` in lines of their own."""

    def __init__(self, message: str, code: int = UNREADABLE, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.details = tuple(details)


class OneLine(logging.Formatter):
    """Shows a record that has an error in one line; `--debug` and `--log-file` show where the error was raised."""

    def format(self, record: logging.LogRecord) -> str:
        """Return what is shown."""
        error = record.exc_info[1] if record.exc_info else None
        return legible(super().format(record) if error is None else f"{record.getMessage()}: {reason_of(error)}")


class Application(App):
    """`provjournal`, which loads a command only when it is called."""

    def __init__(self) -> None:
        super().__init__(
            description="What happened to your clusters, what is unfinished, and what would be deleted and why.",
            version=version("provisioning-journal"),
            command_manager=Commands("provjournal.commands"),
            deferred_help=True,
        )

    def build_option_parser(self, description: str | None, version: str | None) -> argparse.ArgumentParser:  # type: ignore[override]
        """Add the options that every command knows."""
        parser: argparse.ArgumentParser = super().build_option_parser(description, version)
        add_journal_option(parser, dest="app_journal")
        return parser

    def configure_logging(self) -> None:
        """Keep libraries quiet unless the user wants to hear them."""
        before = set(logging.getLogger().handlers)
        super().configure_logging()
        for handler in set(logging.getLogger().handlers).difference(before):
            handler.addFilter(RedactingFilter())
        if not self.options.debug:
            console = logging.getLogger().handlers[-1]
            console.setFormatter(OneLine(self.CONSOLE_MESSAGE_FORMAT))
        TOLD.quiet = self.options.verbose_level < self.DEFAULT_VERBOSE_LEVEL
        if self.options.verbose_level <= self.DEFAULT_VERBOSE_LEVEL:
            for library in ("alembic", "keystoneauth", "openstack", "stevedore", "urllib3"):
                logging.getLogger(library).setLevel(logging.ERROR)

    def run_subcommand(self, argv: list[str]) -> int:
        """Run a command, and turn what the user can put right into one message and an exit code."""
        try:
            return int(super().run_subcommand(argv))
        except KeyboardInterrupt:
            ERRORS.print("provjournal: interrupted; the journal is consistent, run the same command again to go on")
            return INTERRUPTED


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        return int(Application().run(given)) if given else _show_help()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _show_help() -> int:
    """Say what there is: nothing was asked for."""
    with suppress(SystemExit):  # argparse leaves this way
        Application().run(["--help"])
    return UNREADABLE


class _Handled(Command):
    """A command whose errors end as one message and an exit code."""

    app: Application
    auth_required = False
    """What the `openstack` client asks: whether it is to log in before. What needs a cloud logs in by itself."""

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command."""
        try:
            result = super().run(parsed_args)
        except CommandError as error:
            print_error(error)
            return error.code
        except JournalError as error:
            print_error(error)
            return _code_of(error)
        except BrokenPipeError:
            raise
        except Exception as error:
            if isinstance(error, ValueError) and "recognized column names" in str(error):  # cliff's, of an unknown -c COLUMN
                print_error(error)
                return UNREADABLE
            if getattr(self.app.options, "debug", False):
                raise
            print_error(f"{reason_of(error)} (--debug shows where it was raised)")
            _LOG.debug("where it was raised", exc_info=True)
            return PROBLEM
        return OK if result is None else int(result)


def _code_of(error: JournalError) -> int:
    match error:
        case OwnerAlive() | Fenced() | VersionConflict():
            return REFUSED
        case AppendOutcomeUnknown() | JournalRegressed():
            return PROBLEM
        case _:
            return UNREADABLE


class FreeCommand(_Handled):
    """A command that prints what it likes."""


class ListCommand(_Handled, Lister):
    """A command that shows rows, in any of cliff's formats."""

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Iterable[Sequence[Any]]) -> int:
        """Print the rows."""
        if parsed_args.formatter not in FOR_PROGRAMS:
            self.formatter = _for_people(self.formatter)
        return int(super().produce_output(parsed_args, column_names, data))


class ShowCommand(_Handled, ShowOne):
    """A command that shows one thing, in any of cliff's formats."""

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Sequence[Any]) -> int:
        """Print its fields."""
        if parsed_args.formatter not in FOR_PROGRAMS:
            self.formatter = _for_people(self.formatter)
        return int(super().produce_output(parsed_args, column_names, data))


def _for_people(formatter: Any) -> Any:
    return _ForPeople(formatter)


class _ForPeople:
    """One of cliff's formatters, for cells that are data of others: no text in them steers a terminal or forges a row."""

    def __init__(self, formatter: Any) -> None:
        self._formatter = formatter

    def emit_list(self, names: Sequence[str], data: Iterable[Sequence[Any]], *more: Any) -> None:
        """Print rows."""
        self._formatter.emit_list(names, [[_cell(value) for value in row] for row in data], *more)

    def emit_one(self, names: Sequence[str], data: Sequence[Any], *more: Any) -> None:
        """Print fields."""
        self._formatter.emit_one(names, [_cell(value) for value in data], *more)


def _cell(value: Any) -> Any:
    """Return what is shown of a plain value: nothing of None. What formats itself is left to that."""
    return "" if value is None else legible(value) if isinstance(value, str) else value


class NeedsJournal(_Handled):
    """A command that works on a journal in a database."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the journal's option."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_journal_option(parser, dest="journal")
        parser.add_argument(
            "--strict", action="store_true", help="refuse a database that is set so that it could lose what it has acknowledged"
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command; one that came upon damage on its way to something else ends with 1."""
        self._has_told_of_damage = False
        return super().run(parsed_args) or (PROBLEM if self._has_told_of_damage else OK)

    def tell_of_damage(self, error: JournalError) -> None:
        """Tell of a cluster that cannot be read, and go on with the others."""
        self._has_told_of_damage = True
        print_error(error)

    def journal_url(self, parsed_args: argparse.Namespace) -> str:
        """Return the journal's URL. Raises CommandError if there is none."""
        url = parsed_args.journal or getattr(self.app.options, "app_journal", None) or os.environ.get("PROVJOURNAL_URL")
        if not url:
            msg = "Which journal? Give --journal URL (sqlite:///path, for one) or set PROVJOURNAL_URL."
            raise CommandError(msg)
        return str(url)

    @contextmanager
    def opened(self, parsed_args: argparse.Namespace) -> Iterator[Journal]:
        """Open the journal for the length of a command."""
        with Journal.open(self.journal_url(parsed_args), strict=parsed_args.strict) as journal:
            try:
                yield journal
            except UnknownStream as error:
                msg = f"{error}{_alike(error.stream, journal)}"
                raise CommandError(msg) from error


def _alike(cluster: str, journal: Journal) -> str:
    names = get_close_matches(cluster, [head.stream for head in journal.store.heads(damaged=[])])
    return f" Did you mean {' or '.join(names)}?" if names else ""


def tracked(items: Iterable[Any], doing: str, total: int | None = None) -> Iterator[Any]:
    """Yield the items under a progress bar on standard error, if that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=TOLD, transient=True, disable=TOLD.quiet or not TOLD.is_terminal) as progress:
        yield from progress.track(items, total=total, description=doing)


def say(message: str | tuple[str, ...]) -> None:
    """Tell a person what is going on, on standard error; `--quiet` silences it.

    Each text becomes one line, whatever data stands in it; several lines come as several texts.
    """
    for line in (message,) if isinstance(message, str) else message:
        TOLD.print(legible(line), markup=False)


def print_error(error: Exception | str) -> None:
    """Say what is wrong in one line, and its details below, without the secrets that a server's answer or a URL may hold."""
    ERRORS.print(f"provjournal: {legible(redacted_text(str(error)))}", markup=False)
    for line in error.details if isinstance(error, CommandError) else ():
        ERRORS.print(f"  {legible(redacted_text(line))}", markup=False)


def add_journal_option(parser: argparse.ArgumentParser, dest: str, flag: str = "--journal") -> None:
    """Add which journal is meant."""
    parser.add_argument(flag, metavar="URL", dest=dest, help="database URL of the journal (default: PROVJOURNAL_URL)")
