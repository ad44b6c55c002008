"""What a compensation records of what it has learned: pure.

Until when a create can be in doubt, which unfinished steps are settled by what was observed, how a delete ended, and
how the compensated operation ends.
"""

from datetime import datetime
from typing import Final

from journal.events import (
    DELETED_STATUSES,
    FOUND_BY_MARK,
    SOFTLY_DELETED,
    ClusterStatus,
    Completion,
    CreateResource,
    CreateServer,
    DeleteResource,
    DeleteServer,
    OperationKind,
    OperationOutcome,
    ResourceKind,
    StepOutcome,
    VerdictName,
    completed,
    deleted_by,
)
from projections.fold import History, Operation, Step
from projections.origin import Origins
from projections.verdicts import ROW_OF_USERS
from rollback.cloud import Found
from rollback.plan import Plan, plan

STUCK_VOLUME: Final = "ERROR_DELETING"
"""Cinder's status of a volume whose deletion failed."""


def latest_doubt(history: History) -> datetime | None:
    """Return until when a request of a create in doubt can still be on its way."""
    where = Origins(history)
    creates = (step for op in history.in_unfinished for step in op.steps if step.creates is not None)
    doubts = (s.intent.deadline for s in creates if where.original(s) is None and not s.ended_as(StepOutcome.ABSENT))
    return max(doubts, default=None)


def settled_steps(history: History) -> list[tuple[Step, Completion]]:
    """Return the unfinished creates and deletes whose outcome the journal knows by now, with the completions they get."""
    gone = {v.id or v.step: v for v in plan(history).verdicts if v.verdict is VerdictName.GONE}
    where = Origins(history)
    result = []
    for step in history.unfinished_steps:
        match step.intent:
            case CreateServer() | CreateResource() as create if (made := where.original(step)) is not None:
                named = made.id if made.named is None else None
                result.append((step, completed(create, StepOutcome.FAILED, named, FOUND_BY_MARK)))
            case CreateServer() | CreateResource() as create if step.id in gone:
                result.append((step, completed(create, StepOutcome.ABSENT, None, "nothing carries its mark")))
            case DeleteServer() | DeleteResource() as delete if (id_ := deleted_by(delete)) in gone:
                result.append((step, Completion(step.id, StepOutcome.ABSENT, reason=f"the {gone[id_].kind} is gone")))
    return result


def deletion_is_open(history: History, now: Plan) -> bool:
    """Whether a user's deletion is carried out, but no operation has ended as Deleted yet."""
    return history.deletion_asked is not None and now.is_settled and now.cluster_status is ClusterStatus.DELETED


def waits_for_users(history: History, now: Plan) -> bool:
    """Whether what keeps a user's deletion from its end is nothing but servers that use something: they may let go of it."""
    keeping = [verdict.row for verdict in now.verdicts if verdict.withstands_deletion]
    return history.deletion_asked is not None and bool(keeping) and all(row == ROW_OF_USERS for row in keeping)


def is_left_open(history: History) -> bool:
    """Whether, as far as the journal knows, a compensation would have something to do, or may have by now."""
    now = plan(history)
    done = now.is_settled and not deletion_is_open(history, now) and not waits_for_users(history, now)
    return history.unfinished is not None or not done


def end_of_delete(found: Found | None) -> tuple[StepOutcome, str | None] | None:
    """Return how a delete ended, by what the cloud shows of what it was for; None while it has not."""
    if found is None:
        return StepOutcome.SUCCEEDED, None
    if found.status in DELETED_STATUSES:
        soft = found.status == "SOFT_DELETED"
        return StepOutcome.SUCCEEDED, SOFTLY_DELETED if soft else None
    if found.status == "ERROR" and found.kind is ResourceKind.SERVER and not found.is_deleting:
        return StepOutcome.FAILED, "the server went to ERROR while it was deleted"
    if found.status == STUCK_VOLUME:
        return StepOutcome.FAILED, f"the volume went to {STUCK_VOLUME}: only the cloud's operator gets rid of it"
    return None


def outcome(history: History, operation: Operation, now: Plan) -> OperationOutcome:
    """Return how a compensated operation ends."""
    unfinished = any(step.completion is None for step in operation.steps)
    clean = not unfinished and not any(_last_delete_failed(history, victim) for victim in operation.victims)
    if operation.kind is OperationKind.SWEEP and history.deletion_asked is None:
        return OperationOutcome.SUCCEEDED if clean else OperationOutcome.FAILED
    if now.cluster_status is ClusterStatus.DELETED:
        done = clean and operation.kind is OperationKind.DELETE
        return OperationOutcome.SUCCEEDED if done else OperationOutcome.CANCELLED
    unsafe = any(verdict.verdict is VerdictName.UNSAFE for verdict in now.verdicts)
    kept = unsafe or history.deletion_asked is not None
    return OperationOutcome.FAILED if kept else OperationOutcome.ROLLED_BACK


def reason_of_end(history: History, operation: Operation) -> str:
    """Return why a compensated operation ends, as far as the journal knows."""
    if operation.kind is OperationKind.SWEEP and history.deletion_asked is None:
        return "what nobody asked for was deleted"
    if history.errors:
        return history.errors[-1]
    return "its conductor did not finish it" if history.deletion_asked is None else "the cluster's deletion was asked for"


def _last_delete_failed(history: History, victim: str) -> bool:
    """Whether the last delete of a victim to have a completion failed: its operation cannot end as succeeded then."""
    ended = {step.completed: step for step in history.resources[victim].deletes if step.completed is not None}
    return bool(ended) and ended[max(ended)].ended_as(StepOutcome.FAILED)
