"""Left over: what is there although an operation that is over did not mean to leave it so. A person decides."""

from collections.abc import Iterator

import attrs

from journal.events import OperationOutcome
from projections.fold import History, Operation, Resource
from projections.origin import Kind, Origin, Origins
from projections.standing import taken_in


@attrs.frozen
class Cause:
    """Why something is left over, and the version since which it is."""

    because: str
    since: int


def can_be_left_over(history: History, origins: Origins) -> bool:
    """Whether anything of a history can be left over at all, by its causes: an abandoned deletion ends an operation, too."""
    return bool(
        history.deleted
        or history.deletes_something
        or origins.tells_by_mark
        or any(op.outcome not in (None, OperationOutcome.SUCCEEDED) for op in history.operations.values())
    )


def left_over(history: History, origins: Origins, resource: Resource, *, unasked: bool, used: bool) -> Cause | None:
    """Return the first cause for which it was neither adopted nor taken in since. The resource must be there."""
    causes = _causes(history, resource, origins.of(resource), unasked=unasked, used=used)
    return next((cause for cause in causes if not taken_in(history, origins, resource, cause.since)), None)


def _causes(history: History, resource: Resource, origin: Origin, *, unasked: bool, used: bool) -> Iterator[Cause]:
    deleted = [s.completed for s in resource.deletes if s.is_done_delete and s.completed and s.operation.finished]
    if deleted:
        yield Cause("it was deleted, yet it is there", max(deleted))
    if history.deleted is not None:
        yield Cause("the cluster ended as Deleted, yet it is there", history.deleted)
    if unasked and origin.created_by is not None:
        what = "it is a repeated request's" if origin.kind is Kind.REPEATED else "it landed after its operation had ended"
        abandoned = origin.created_by.operation.outcome is OperationOutcome.ABANDONED
        then = " and was put to use" if used else ", and that operation was abandoned" if abandoned else ""
        yield Cause(f"{what}{then}", origin.created_by.begun)
    ended = [
        op for op in _operations(resource, origin) if op.steps and op.finished and op.outcome is not OperationOutcome.SUCCEEDED
    ]
    if ended:
        last = max(ended, key=lambda op: op.finished or 0)
        yield Cause(f"operation {last.kind} ended as {last.outcome} and left it", last.finished or 0)
    if history.abandoned_deletion is not None and resource.known < history.abandoned_deletion:
        yield Cause("an operation was abandoned while the deletion of the cluster was asked for", history.abandoned_deletion)


def _operations(resource: Resource, origin: Origin) -> Iterator[Operation]:
    """Yield the operations that it was created in or is a victim of."""
    if origin.created_by is not None:
        yield origin.created_by.operation
    yield from resource.victim_of
