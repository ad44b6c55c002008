"""Taking servers in that existed before their journal."""

import argparse
from collections.abc import Sequence

from journal.command_line import ListCommand, say
from journal.commands.options import add_by
from rollback.adoption import adopt, adoptable
from rollback.commands.options import NeedsCloud

COLUMNS = ("Cluster", "Server", "Name", "Result")


class Adopt(NeedsCloud, ListCommand):
    """Take servers into a cluster that existed before their journal, or mark servers of it again.

    Each is marked in the cloud, then the journal is told; every server is looked at before anything is changed.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cluster and its servers."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER", help="it need not exist in the journal yet")
        parser.add_argument("--server", metavar="ID", action="append", required=True, help="a server of it (can be repeated)")
        parser.add_argument("--node-group", metavar="NAME", default="", help="what these servers are in the cluster")
        parser.add_argument(
            "--replace-marks", action="store_true", help="also where a server's marks say that it is another's: be certain"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be done; change and append nothing")
        add_by(parser)
        parser.add_argument("--reason", metavar="TEXT", default="", help="why, for whoever reads it later")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        """Adopt."""
        with self.handler(parsed_args) as handler:
            adoption = adoptable(
                handler.journal,
                handler.cloud,
                parsed_args.cluster,
                parsed_args.server,
                node_group=parsed_args.node_group,
                replace_marks=parsed_args.replace_marks,
            )
            if not parsed_args.dry_run:
                said = {"by": parsed_args.by, "reason": parsed_args.reason}
                adopt(handler.journal, handler.cloud, adoption, progress=handler.progress, **said)
        if parsed_args.dry_run:
            say("this was a dry run: nothing was changed")
        return COLUMNS, [(adoption.cluster, each.found.id, each.found.name, each.outcome.value) for each in adoption.candidates]
