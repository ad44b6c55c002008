"""The one handler at the very top of each operation.

Nothing below it catches, checks whether the cluster exists, or cleans up.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from journal.errors import Fenced, JournalError
from journal.events import ClusterStatus, ErrorDuring, ErrorRecorded, OperationKind
from journal.journal import Journal
from journal.recorder import Operation, reason_of
from journal.redaction import RedactingFilter
from journal.stream import Stream
from projections.fold import fold
from rollback.cloud import Cloud
from rollback.compensator import Report, rollback_cluster
from rollback.errors import RollbackError
from rollback.observe import Progress

LOG = logging.getLogger(__name__)
LOG.addFilter(RedactingFilter())  # an exception's text can hold what a server or a plugin put there


class ClusterRecord(Protocol):
    """The conductor's own record of a cluster."""

    def exists(self) -> bool:
        """Whether the record is still there; a user may have deleted it."""

    def set_status(self, status: ClusterStatus, reason: str) -> None:
        """Show the user what became of the cluster."""


@contextmanager
def operation(
    journal: Journal,
    cloud: Cloud,
    cluster: str,
    kind: OperationKind,
    record: ClusterRecord,
    *,
    victims: Sequence[str] = (),
    request: dict[str, Any] | None = None,
    progress: Progress = lambda _: None,
) -> Iterator[Operation]:
    """Run an operation, and handle whatever goes wrong in it: the errors of its body end here.

    The body succeeded → the cluster is Active (Deleted, for a delete). A user asked for the deletion meanwhile → end
    quietly, touch nothing more. Anything else → record the error, compensate by replaying the journal, set the status
    with the reason. If compensation fails too: Error with both reasons, and the operation stays open for the next
    attempt. An interrupt gives up the lease and is raised again at once.

    Raises what `Journal.begin` raises, before the body runs.
    """
    running = journal.begin(cluster, kind, cloud.name, victims=victims, request=request)
    try:
        yield running
        running.succeed()
    except Fenced as fence:
        LOG.info("cluster %s: %s operation ends quietly: %s", cluster, kind, _why_fenced(running.stream, fence))
    except Exception as error:
        LOG.exception("cluster %s: %s operation failed", cluster, kind)
        _fail(journal, cloud, running, record, error, progress)
    except BaseException as interrupt:
        _give_up(journal, running, interrupt)
        raise
    else:
        status = ClusterStatus.DELETED if running.kind is OperationKind.DELETE else ClusterStatus.ACTIVE
        journal.store.release(cluster, journal.conductor, epoch=running.stream.epoch)
        record.set_status(status, "")


def delete_cluster(
    journal: Journal,
    cloud: Cloud,
    cluster: str,
    record: ClusterRecord,
    *,
    by: str,
    reason: str = "",
    progress: Progress = lambda _: None,
) -> Report:
    """Delete a cluster for a user, whatever is going on with it, and return what came of it.

    The request fences the operation that is running, which ends quietly; everything that carries the cluster's marks
    is then found and deleted. Raises what `rollback_cluster` raises.
    """
    journal.request_deletion(cluster, by=by, reason=reason)
    report = rollback_cluster(journal, cloud, cluster, progress=progress)
    record.set_status(report.cluster_status, "; ".join(report.problems))
    return report


def _why_fenced(stream: Stream, fence: Fenced) -> str:
    stream.refresh()
    history = fold(stream.events)
    if history.deletion_asked is not None or history.deleted is not None:
        return "a user asked for the cluster's deletion"
    return str(fence)


def _fail(
    journal: Journal, cloud: Cloud, running: Operation, record: ClusterRecord, error: Exception, progress: Progress
) -> None:
    reason = reason_of(error)
    try:
        if record.exists():
            running.record_error(reason)
        else:
            running.stream.request_deletion(journal.conductor, "the conductor's record of the cluster is gone")
        report = rollback_cluster(journal, cloud, running.cluster, owned=running.stream, reason=reason, progress=progress)
    except Fenced as fence:
        LOG.info("cluster %s: compensation ends quietly: %s", running.cluster, _why_fenced(running.stream, fence))
    except (JournalError, RollbackError) as second:
        LOG.exception("cluster %s: compensation failed", running.cluster)
        both = f"{reason}; then compensation failed: {reason_of(second)}"
        _record_second(journal, running, second)
        record.set_status(ClusterStatus.ERROR, both)
    else:
        why = "; ".join((reason, *report.problems))
        if record.exists():
            record.set_status(report.cluster_status, why)


def _record_second(journal: Journal, running: Operation, second: Exception) -> None:
    """Record that compensation failed, if the journal still takes it: the operation is open either way, for the next attempt."""
    try:
        running.append(ErrorRecorded(ErrorDuring.COMPENSATION, reason_of(second)))
        journal.store.release(running.cluster, journal.conductor, epoch=running.stream.epoch)
    except JournalError:
        LOG.warning("cluster %s: the failure of its compensation could not be recorded", running.cluster, exc_info=True)


def _give_up(journal: Journal, running: Operation, interrupt: BaseException) -> None:
    """Record the interrupt and give up the lease, so that another conductor can compensate at once."""
    try:
        running.record_error(reason_of(interrupt))
        journal.store.release(running.cluster, journal.conductor, epoch=running.stream.epoch)
    except JournalError:
        LOG.warning("cluster %s: the interrupt could not be recorded", running.cluster, exc_info=True)
