"""Looking after the journal itself: whether it is whole, how much there is, and its tables."""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from journal.archive import expect_named_end, verify_archives
from journal.command_line import OK, PROBLEM, UNREADABLE, FreeCommand, NeedsJournal, ShowCommand, counted, say, tracked
from journal.commands.options import matching
from journal.errors import BrokenChain, DamagedStream, Malformed, OutOfOrder, UnreadableFile
from journal.files import is_damage, read_file
from journal.journal import Journal
from journal.verify import verify_stream
from journal.wording import legible


class JournalVerify(NeedsJournal, FreeCommand):
    """Check that no event was changed, removed or moved, in the journal or in files. Exit code 1 if one was."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the files."""
        parser = super().get_parser(prog_name)
        parser.add_argument("files", nargs="*", metavar="FILE", type=Path, help="files to check instead of the journal")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Verify."""
        return self._files(parsed_args.files) if parsed_args.files else self._journal(parsed_args)

    def _files(self, paths: list[Path]) -> int:
        code = OK
        for path in paths:
            try:
                _tell(_verified(path))
            except (Malformed, OutOfOrder, BrokenChain, UnreadableFile) as error:
                _tell(str(error))
                if is_damage(error):
                    code = PROBLEM
                elif code == OK:
                    code = UNREADABLE
        return code

    def _journal(self, parsed_args: argparse.Namespace) -> int:
        damages: list[DamagedStream] = []
        count = 0
        with self.opened(parsed_args) as journal:
            heads = list(journal.store.heads(damaged=damages))
            damages += [DamagedStream(stream, 1, "its events have no head") for stream in journal.store.headless()]
            steps = (step for head in heads for step in verify_stream(journal.store, head))
            for damage in tracked(steps, "verifying", sum(head.version for head in heads)):
                if damage is None:
                    count += 1
                else:
                    damages.append(damage)
            archives = list(tracked(verify_archives(journal.store), "verifying archives"))
        damages += [archive for archive in archives if isinstance(archive, DamagedStream)]
        for damage in damages:
            _tell(f"cluster {damage.stream!r}, version {damage.version}: {damage.what}")
        state = f"{counted(len(damages), 'cluster')} damaged" if damages else "all as they were written"
        _tell(f"{counted(count, 'event')} of {counted(len(heads), 'cluster')} verified, {state}{_told_archives(archives)}")
        return PROBLEM if damages else OK


def _verified(path: Path) -> str:
    """Read a file strictly, and return what is to be said of it."""
    bare: Counter[str] = Counter()
    last, count = None, 0
    for event in tracked(read_file(path, lambda event: bare.update([event.stream])), f"verifying {path}"):
        last, count = event, count + 1
    expect_named_end(path, last)
    if bare:
        return f"{path}: {counted(count, 'event')}, of which {bare.total()} have no hash to check"
    return f"{path}: {counted(count, 'event')}, all as they were written"


def _told_archives(archives: Sequence[DamagedStream | Path | None]) -> str:
    if not archives:
        return ""
    away = sum(isinstance(archive, Path) for archive in archives)
    told = f"; {counted(len(archives), 'archived cluster')}"
    return f"{told}, of which {counted(away, 'file')} cannot be found from here" if away else told


def _tell(result: str) -> None:
    print(legible(result))  # noqa: T201 (the command's output)


class JournalStats(NeedsJournal, ShowCommand):
    """Show how much there is: clusters, events, what is unfinished and since when, and the size on disk."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], tuple[object, ...]]:
        """Return the figures. No history is read for them."""
        with self.opened(parsed_args) as journal:
            clusters = events = operations = owned = 0
            for head in matching(journal, None, self.tell_of_damage):
                clusters += 1
                events += head.version
                operations += head.operation is not None
                owned += head.owner_alive
            begun = [step.recorded_at for step in journal.store.unfinished_steps()]
            fields = {
                "journal": str(journal.id),
                "clusters": clusters,
                "archived_clusters": sum(1 for _ in journal.store.archived()),
                "events": events,
                "unfinished_operations": operations,
                "unfinished_operations_with_a_live_owner": owned,
                "unfinished_steps": len(begun),
                "oldest_unfinished_step": f"{min(begun):%Y-%m-%dT%H:%M:%SZ}" if begun else None,
                "size_bytes": journal.store.size_bytes(),
            }
        return tuple(fields), tuple(fields.values())


class JournalUpgrade(NeedsJournal, FreeCommand):
    """Make the journal's tables, or bring them up to date."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Upgrade."""
        with Journal.open(self.journal_url(parsed_args), upgrade=True, strict=parsed_args.strict) as journal:
            say(f"the journal {journal.id} is up to date")
        return OK


class JournalDowngrade(NeedsJournal, FreeCommand):
    """Take the journal's tables back to what an older version of this library expects."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the revision."""
        parser = super().get_parser(prog_name)
        parser.add_argument("revision", metavar="REVISION", help="the older version's, 0001 for one")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Downgrade."""
        from journal.sql.store import downgrade_store  # noqa: PLC0415 (SQLAlchemy is loaded only by those who need a database)

        downgrade_store(self.journal_url(parsed_args), parsed_args.revision)
        say(f"the journal is at revision {parsed_args.revision}: only an older version of this library can use it now")
        return OK
