"""What commands that act on a cloud have in common: which cloud, whose records, and how their errors end."""

import argparse
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import attrs

from journal.command_line import PROBLEM, CommandError, NeedsJournal, say
from journal.journal import Journal
from journal.settings import Settings
from rollback.errors import RecordError, RollbackError, UnknownCloud
from rollback.handler import Handler
from rollback.records import CommandRecord, Records, load_records


class NeedsCloud(NeedsJournal):
    """A command that works on a journal and a cloud."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cloud, the conductor's records and the time to settle."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--cloud", metavar="NAME", default=os.environ.get("OS_CLOUD"), help="cloud of clouds.yaml (default: OS_CLOUD)"
        )
        settle = Settings().settle_seconds
        parser.add_argument(
            "--settle-seconds",
            metavar="SECONDS",
            type=seconds,
            default=settle,
            help=f"how far apart the two listings are that prove a server absent (default: {settle:g})",
        )
        records = parser.add_mutually_exclusive_group()
        records.add_argument(
            "--record",
            metavar="NAME",
            default=os.environ.get("PROVJOURNAL_RECORD"),
            help="the conductor's records, as an installed package offers them: who is told what became of a cluster",
        )
        records.add_argument(
            "--record-command",
            metavar="COMMAND",
            default=os.environ.get("PROVJOURNAL_RECORD_COMMAND"),
            help="the same as a command: `COMMAND exists CLUSTER`, `COMMAND set-status CLUSTER STATUS REASON`",
        )
        return parser

    @contextmanager
    def handler(self, parsed_args: argparse.Namespace, cluster: str | None = None) -> Iterator[Handler]:
        """Open journal and cloud for the length of a command; an unknown `cluster` is refused before the cloud is asked."""
        from rollback.openstack import OpenStackCloud  # noqa: PLC0415 (only what acts on a cloud loads openstacksdk)

        try:
            records = _records(parsed_args)
            with self.opened(parsed_args) as journal:
                journal.settings = attrs.evolve(journal.settings, settle_seconds=parsed_args.settle_seconds)
                _refuse_unknown(journal, cluster)
                cloud = OpenStackCloud.connect(parsed_args.cloud, journal.settings)
                yield Handler(journal, cloud, records, progress=say)
        except (UnknownCloud, RecordError) as error:
            raise CommandError(str(error)) from error
        except RollbackError as error:
            raise CommandError(str(error), PROBLEM) from error


def seconds(text: str) -> float:
    """Read a length of time."""
    found = float(text)
    if found < 0:
        msg = "expected 0 or more"
        raise argparse.ArgumentTypeError(msg)
    return found


def _records(parsed_args: argparse.Namespace) -> Records | None:
    if parsed_args.record_command:
        return partial(CommandRecord, shlex.split(parsed_args.record_command))
    return load_records(parsed_args.record) if parsed_args.record else None


def _refuse_unknown(journal: Journal, cluster: str | None) -> None:
    if cluster is not None:
        journal.stream(cluster)
