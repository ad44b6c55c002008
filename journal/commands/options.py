"""What commands of this package ask for alike."""

import argparse
import getpass

from journal.errors import StreamArchived, UnknownStream
from journal.journal import Journal
from journal.store import Head


def add_by(parser: argparse.ArgumentParser) -> None:
    """Add who says so."""
    parser.add_argument("--by", metavar="NAME", default=getpass.getuser(), help="who says so (default: you)")


def number(text: str) -> int:
    """Return a number of at least 1: an argparse type."""
    count = int(text)
    if count < 1:
        msg = "expected 1 or more"
        raise argparse.ArgumentTypeError(msg)
    return count


def named(journal: Journal, clusters: list[str]) -> list[Head]:
    """Return the guard rows of the clusters that were named, or of all.

    Raises UnknownStream or StreamArchived.
    """
    heads = []
    for cluster in clusters:
        head = journal.store.head(cluster)
        if head is None:
            raise UnknownStream(cluster)
        if head.archived_to is not None:
            raise StreamArchived(cluster, head.archived_to)
        heads.append(head)
    return heads if clusters else list(journal.store.heads())
