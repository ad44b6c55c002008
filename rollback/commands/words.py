"""An operator's words: of a resource or a create, and of an operation that nobody can finish."""

import argparse
from collections.abc import Sequence
from uuid import UUID

from journal.command_line import REFUSED, CommandError, ListCommand, NeedsJournal, say
from journal.commands.options import add_by, named, text
from journal.errors import OutOfOrder
from journal.events import (
    Data,
    OperatorResolved,
    PlanAction,
    ResourceKind,
    Word,
)
from journal.journal import Journal, abandoned
from projections.differences import differences
from projections.fold import History, fold
from projections.verdicts import verdicts
from rollback.commands.confirming import add_yes, confirm

COLUMNS = ("What", "Before", "After")


class WordCommand(NeedsJournal, ListCommand):
    """A command that appends what somebody says, and shows what that changes. Looks at no cloud and deletes nothing."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cluster, and who says so."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER")
        add_by(parser)
        parser.add_argument("--reason", metavar="TEXT", type=text, required=True, help="why, for whoever reads it later")
        parser.add_argument("--dry-run", action="store_true", help="show what it would change; append nothing")
        return parser


class Resolve(WordCommand):
    """Say of a server, or of what one brings along, what it is; or of a create in doubt that it made nothing.

    The word overrides what replay says, until the resource is used again. It deletes nothing by itself: the next rollback
    carries it out.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add of what, and the word."""
        parser = super().get_parser(prog_name)
        parser.add_argument("id", metavar="ID", help="of a server or other resource; with `gone`, of the step of a create")
        parser.add_argument(
            "word",
            metavar="WORD",
            choices=[str(word) for word in Word],
            help="new or unneeded: it can be deleted; unsafe or in_service: it is kept; gone: this create made nothing",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        """Say it, and return what it changes."""
        with self.opened(parsed_args) as journal:
            before = _history(journal, parsed_args.cluster)
            said = _word(before, parsed_args)
            if not parsed_args.dry_run:
                if said.step is not None:
                    journal.resolve_gone(before.stream, said.step, by=said.by, reason=said.reason)
                else:
                    journal.resolve(before.stream, parsed_args.id, said.verdict, by=said.by, reason=said.reason)
            after = _after(journal, before, said, parsed_args)
        due = [verdict for verdict in verdicts(after) if verdict.action is PlanAction.DELETE]
        if due and not parsed_args.dry_run:
            say(f"`provjournal rollback {after.stream} --dry-run` shows what is deleted by now")
        return COLUMNS, _rows(before, after, parsed_args)


class Abandon(WordCommand):
    """Give up an operation that nobody can finish. Nothing that it left is deleted for it any more; it stays reported."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add a yes that is given beforehand."""
        parser = super().get_parser(prog_name)
        add_yes(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        """Abandon it, and return what that changes."""
        with self.opened(parsed_args) as journal:
            before = _history(journal, parsed_args.cluster)
            if before.unfinished is None:
                msg = f"No operation of cluster {before.stream!r} is unfinished: there is nothing to abandon."
                raise CommandError(msg)
            journal.refuse_live_owner(before.stream, even_own=True)
            end = abandoned(parsed_args.by, parsed_args.reason, is_deleted=before.deleted is not None)
            if not parsed_args.dry_run:
                if not parsed_args.yes:
                    left = sum(verdict.action in (PlanAction.DELETE, PlanAction.FIND) for verdict in verdicts(before))
                    what = f"the {before.unfinished.kind} of cluster {before.stream}"
                    ends = "" if before.deletion_asked is None else " The request for the cluster's deletion ends with it."
                    confirm(f"Abandon {what}, which leaves {left} to delete or to find?{ends}")
                _abandon(journal, before, parsed_args)
            after = _after(journal, before, end, parsed_args, before.unfinished.id)
        return COLUMNS, _rows(before, after, parsed_args)


def _abandon(journal: Journal, before: History, parsed_args: argparse.Namespace) -> None:
    assert before.unfinished is not None, "it was looked at"
    try:
        journal.abandon(before.stream, before.unfinished.id, by=parsed_args.by, reason=parsed_args.reason)
    except OutOfOrder as error:
        msg = f"{error}."
        raise CommandError(msg, REFUSED) from error


def _history(journal: Journal, cluster: str) -> History:
    named(journal, [cluster])
    return fold(journal.stream(cluster).events)


def _after(
    journal: Journal, before: History, data: Data, parsed_args: argparse.Namespace, operation: UUID | None = None
) -> History:
    """Return the history with what was said: as it is now, or, in a dry run, as it would be."""
    stream = journal.stream(before.stream)
    events = stream.events
    if parsed_args.dry_run:
        events = (*events, stream.draft(data, operation=operation))
    return fold(events)


def _word(history: History, parsed_args: argparse.Namespace) -> OperatorResolved:
    """Return what is said. Raises CommandError for what the cluster does not know."""
    word, id_ = Word(parsed_args.word), parsed_args.id
    if word is Word.GONE:
        creates = {str(step): step for step in history.creates}
        if id_ not in creates:
            msg = (
                f"{id_} is no create of cluster {history.stream!r}: `gone` is said of a create, by the id of its step, which "
                f"`provjournal step list --cluster {history.stream}` names."
            )
            raise CommandError(msg)
        return OperatorResolved(word, parsed_args.by, parsed_args.reason, step=creates[id_])
    resource = history.resources.get(id_)
    if resource is None:
        raise CommandError(_unknown(history, id_))
    is_server = resource.kind is ResourceKind.SERVER
    about = (id_, None, None) if is_server else (None, None, id_)
    return OperatorResolved(word, parsed_args.by, parsed_args.reason, *about)


def _unknown(history: History, id_: str) -> str:
    """Return that a cluster does not know an id, and what may have been meant."""
    if id_ in {str(step) for step in history.creates}:
        return f"{id_} is a create of cluster {history.stream!r} that is in doubt: only `gone` can be said of it."
    meant = [
        f"{resource.id} ({resource.name})" for resource in history.resources.values() if id_ in (resource.name, resource.id[:8])
    ]
    hint = (
        f"Did you mean {' or '.join(meant)}?"
        if meant
        else f"`provjournal server list --cluster {history.stream}` names what it knows."
    )
    return f"Cluster {history.stream!r} does not know {id_}. {hint}"


def _rows(before: History, after: History, parsed_args: argparse.Namespace) -> list[tuple[object, ...]]:
    if parsed_args.dry_run:
        say("this was a dry run: nothing was appended")
    return [(each.what, each.before, each.after) for each in differences(before, after)]
