"""What the cluster becomes once the plan is carried out and every doubt resolved; how it, its operations and steps stand now."""

from journal.events import ClusterStatus, OperationKind, PlanAction, VerdictName
from projections.cases import Reading
from projections.fold import History, Operation, Step
from projections.verdicts import WORKING, Verdict, verdicts


def cluster_status(history: History, found: tuple[Verdict, ...]) -> ClusterStatus:
    """Return the status that the cluster becomes, whether or not anything is left to do."""
    if history.deletion_asked is not None:
        kept = any(verdict.withstands_deletion for verdict in found)
        return ClusterStatus.ERROR if kept else ClusterStatus.DELETED
    match history.unfinished:
        case None:
            return _standing_status(history)
        case operation if operation.kind is OperationKind.CREATE:
            return ClusterStatus.ERROR
        case operation if operation.kind is OperationKind.SCALE:
            return _after_scale(Reading(history), found)
        case _:
            return _standing_status(history)


def _after_scale(reading: Reading, found: tuple[Verdict, ...]) -> ClusterStatus:
    stage = reading.scale_stage
    broken = (
        (stage is not None and not reading.decommission_complete)
        or stage in WORKING
        or any(verdict.verdict is VerdictName.UNSAFE for verdict in found)
    )
    return ClusterStatus.ERROR if broken else ClusterStatus.ACTIVE


def _standing_status(history: History) -> ClusterStatus:
    if history.deleted is not None:
        return ClusterStatus.DELETED
    last = history.last_end
    return ClusterStatus.ACTIVE if last is None or last.cluster_status is None else last.cluster_status


def shown_status(history: History, *, owner_alive: bool) -> str:
    """Return what a person is shown as a cluster's status now.

    While an operation is unfinished that is `running (KIND)` under a live lease, and Error without one; so it is
    while something is left to do.
    """
    if history.unfinished is not None and owner_alive:
        return f"running ({history.unfinished.kind})"
    found = verdicts(history)
    left = any(verdict.action in (PlanAction.DELETE, PlanAction.FIND) for verdict in found)
    if history.unfinished is not None or left:
        return str(ClusterStatus.ERROR)
    return str(cluster_status(history, found))


def past_status(history: History) -> str:
    """Return what a cluster's status was at a point of the past: of an unfinished operation nobody knows if it was alive."""
    if history.unfinished is not None:
        return f"unfinished ({history.unfinished.kind})"
    return shown_status(history, owner_alive=False)


def operation_outcome(operation: Operation, *, owner_alive: bool) -> str:
    """Return how an operation ended, or that it did not."""
    if operation.finished is not None:
        return str(operation.outcome) if operation.taken_over_by is None else "taken over"
    return "running" if owner_alive else "unfinished"


def step_outcome(step: Step) -> str:
    """Return how a step ended, or that it did not."""
    if step.completion is not None:
        return str(step.completion.outcome)
    return "unfinished" if step.operation.finished is None else "never finished"
