"""What can happen to a process at a call, beside its death: an error of the cloud, a user who deletes the cluster."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from types import MappingProxyType
from typing import Final, NoReturn

import attrs

from journal.errors import OutOfOrder
from journal.steps import Refused
from rollback.errors import CloudError, CloudRefused
from rollback.testing.world import SimulatedProcess, SimulatedWorld


@attrs.frozen
class Fault:
    """Something that is tried at each call. `happen` comes there, in the process that makes the call, and may raise."""

    happen: Callable[[SimulatedProcess], None]
    at_journal: bool = True
    """Whether it is tried at calls of the journal, too."""
    after: bool = True
    """Whether it is tried after a call has had its effect, too."""


def raising(error: Callable[[], Exception]) -> Fault:
    """Return the fault that the cloud, or what was made `crashing`, raises this error; a refusal before the call only."""

    def happen(_: SimulatedProcess) -> NoReturn:
        raise error()

    return Fault(happen, at_journal=False, after=not isinstance(error(), Refused))


def _delete(process: SimulatedProcess) -> None:
    """Let a user delete every cluster that something is going on with."""
    user = process.world.process("user")
    for cluster in _deleted(process.world):
        with suppress(OutOfOrder):  # it is Deleted already
            user.handler.delete(cluster, by="user")


def _request_deletion(process: SimulatedProcess) -> None:
    """Let a user ask for it, in a process that does no more than that."""
    user = process.world.process("user")
    for cluster in _deleted(process.world):
        with suppress(OutOfOrder):
            user.journal.request_deletion(cluster, by="user")


def _deleted(world: SimulatedWorld) -> Iterator[str]:
    """Yield the clusters that a user deletes now: those that something is going on with, else all."""
    heads = list(world.store.heads())
    for head in [head for head in heads if head.operation is not None] or heads:
        world.records(head.stream).deleted_after = len(world.records(head.stream).told)
        yield head.stream


CLOUD_ERRORS: Final = MappingProxyType(
    {
        "unknown outcome": raising(lambda: CloudError("HTTP 502")),
        "refused": raising(lambda: CloudRefused("HTTP 403: quota exceeded")),
    }
)
"""What any call of a cloud can end with."""
DELETIONS: Final = MappingProxyType({"deletion": Fault(_delete), "request for deletion": Fault(_request_deletion)})
"""A user deletes the cluster meanwhile: all of it is done by another process, or it is only asked for."""
