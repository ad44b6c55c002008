"""Comparing what two versions of this library make of histories."""

import argparse
import asyncio
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import attrs
import msgspec

from journal.command_line import OK, PROBLEM, CommandError, ListCommand, counted, say, tracked
from journal.errors import JournalError, UnreadableFile
from journal.files import is_damage, read_file
from journal.steps import reason_of
from projections.fold import History
from rollback.commands.other_version import DISTRIBUTION, OtherVersion, other_version
from rollback.compatibility import Change, Outcome, PlanDocument, Refusal, changes
from rollback.plan import plan

COLUMNS = ("File", "Cluster", "Kind", "Id", "Was", "Is", "Because", "Worse")


class Comparison(ListCommand):
    """`replay --compare`."""

    code: int = OK

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command; what changed ends it with 1."""
        return super().run(parsed_args) or self.code

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        """Return the table of changes."""
        files = histories(parsed_args.file)
        with other_version(parsed_args.compare) as other:
            outcomes = asyncio.run(_outcomes(files, other))
        found = [(file, change) for file, pair in zip(files, outcomes, strict=True) for change in changes(*pair)]
        worse = [change for _, change in found if change.harm is not None]
        self.code = PROBLEM if (worse if parsed_args.lenient else found) else OK
        refused = sum(all(isinstance(outcome, Refusal) for outcome in pair) for pair in outcomes)
        if refused:
            say(f"{refused} of {_histories(len(files))} cannot be replayed by either version")
        say(_summary(found, len(files), len(worse), f"from {other.name} to {version(DISTRIBUTION)}"))
        return COLUMNS, [_row(file, change) for file, change in found]


def histories(path: Path) -> list[Path]:
    """Return the files of a corpus: those below a folder that end in `.jsonl`, or a file. Raises CommandError."""
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob("*.jsonl"))
    if not found:
        msg = f"{path}: there is no *.jsonl in this folder, nor below it"
        raise CommandError(msg)
    return found


async def _outcomes(files: Sequence[Path], other: OtherVersion) -> list[tuple[Outcome, Outcome]]:
    """Return what the other version and this one make of each file, on as many cores as there are."""
    cores = asyncio.Semaphore(os.cpu_count() or 1)

    async def both(file: Path) -> tuple[Outcome, Outcome]:
        async with cores:
            mine = await asyncio.to_thread(_replayed, file)
            return await other.replay(file), mine

    tasks = [asyncio.create_task(both(file)) for file in files]
    try:
        for task in tracked(asyncio.as_completed(tasks), "comparing", len(tasks)):
            await task
        return [task.result() for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _replayed(file: Path) -> Outcome:
    """Return what this version makes of a file. Raises UnreadableFile if there is none to be read."""
    folded: dict[str, History] = {}
    try:
        for event in read_file(file):
            folded.setdefault(event.stream, History()).apply(event)
        return [msgspec.convert(plan(history).document(), PlanDocument) for history in folded.values()]
    except JournalError as error:
        if isinstance(error, UnreadableFile) and not is_damage(error):
            raise
        return Refusal(str(error).removeprefix(f"{file}, "))
    except Exception as error:  # noqa: BLE001 (a version that fails at a history does not replay it, whichever it is)
        return Refusal(f"it failed: {reason_of(error)}")


def _row(file: Path, change: Change) -> tuple[object, ...]:
    return str(file), *attrs.astuple(attrs.evolve(change, harm=None))[:-1], None if change.harm is None else str(change.harm)


def _summary(found: Sequence[tuple[Path, Change]], count: int, worse: int, versions: str) -> str:
    if not found:
        return f"nothing changed {versions}, in {_histories(count)}"
    where = len({file for file, _ in found})
    return f"{counted(len(found), 'change')} {versions}, in {where} of {_histories(count)}; {worse} for the worse"


def _histories(count: int) -> str:
    return "1 history" if count == 1 else f"{count} histories"
