"""What a person who looks at a cluster can do next."""

from journal.events import ClusterStatus, PlanAction, VerdictName
from projections.fold import History
from projections.status import cluster_status
from projections.verdicts import Verdict


def advice(history: History, found: tuple[Verdict, ...], *, owner_alive: bool) -> str:
    """Return what to do next about a cluster, as a command where there is one."""
    cluster = history.stream
    due = [verdict for verdict in found if verdict.action in (PlanAction.DELETE, PlanAction.FIND)]
    unsafe = next((verdict for verdict in found if verdict.verdict is VerdictName.UNSAFE), None)
    if owner_alive:
        return f"nothing: {history.owner} is at work on it"
    if history.hold is not None:
        return f"look at `provjournal plan show {cluster}`, then `provjournal release {cluster} --reason …`"
    if due or history.unfinished is not None or _deletion_is_open(history, found):
        return f"look at `provjournal rollback {cluster} --dry-run`, then `provjournal rollback {cluster}`"
    if unsafe is not None:
        return (
            f"decide about each that is unsafe: `provjournal server explain {unsafe.id} --cluster {cluster}`, "
            f"then `provjournal resolve {cluster} {unsafe.id} unneeded|in_service --reason …`"
        )
    return "nothing"


def _deletion_is_open(history: History, found: tuple[Verdict, ...]) -> bool:
    return history.deletion_asked is not None and cluster_status(history, found) is ClusterStatus.DELETED
