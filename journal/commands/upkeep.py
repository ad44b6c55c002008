"""Looking after the journal itself: whether it is whole, how much there is, and its tables."""

import argparse
from pathlib import Path

from journal.command_line import OK, PROBLEM, FreeCommand, NeedsJournal, ShowCommand, counted, say, tracked
from journal.errors import BrokenChain, DamagedStream, Malformed, OutOfOrder
from journal.files import read_file
from journal.journal import Journal
from journal.verify import verify_stream


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
        damaged = 0
        for path in paths:
            try:
                count = sum(1 for _ in tracked(read_file(path), f"verifying {path}"))
                print(f"{path}: {counted(count, 'event')}, all as they were written")  # noqa: T201 (the command's output)
            except (Malformed, OutOfOrder, BrokenChain) as error:
                damaged += 1
                print(error)  # noqa: T201 (the command's output)
        return PROBLEM if damaged else OK

    def _journal(self, parsed_args: argparse.Namespace) -> int:
        damages: list[DamagedStream] = []
        with self.opened(parsed_args) as journal:
            heads = list(journal.store.heads())
            steps = (step for head in heads for step in verify_stream(journal.store, head))
            count = 0
            for damage in tracked(steps, "verifying", sum(head.version for head in heads)):
                if damage is None:
                    count += 1
                else:
                    damages.append(damage)
        for damage in damages:
            print(f"cluster {damage.stream!r}, version {damage.version}: {damage.what}")  # noqa: T201 (the command's output)
        state = f"{counted(len(damages), 'cluster')} damaged" if damages else "all as they were written"
        print(f"{counted(count, 'event')} of {counted(len(heads), 'cluster')} verified, {state}")  # noqa: T201 (the command's output)
        return PROBLEM if damages else OK


class JournalStats(NeedsJournal, ShowCommand):
    """Show how much there is: clusters, events, what is unfinished and since when, and the size on disk."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], tuple[object, ...]]:
        """Return the figures. No history is read for them."""
        with self.opened(parsed_args) as journal:
            clusters = events = operations = owned = 0
            for head in journal.store.heads():
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
