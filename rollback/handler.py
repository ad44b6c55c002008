"""The one handler at the very top of each operation.

Nothing below it catches, checks whether the cluster exists, or cleans up.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import attrs

from journal.errors import Fenced, JournalError, OwnerAlive, StoreError
from journal.events import (
    ClusterStatus,
    DeletionRequested,
    ErrorDuring,
    ErrorRecorded,
    OperationKind,
    OperationOutcome,
    VerdictName,
)
from journal.journal import Journal
from journal.recorder import Operation
from journal.redaction import RedactingFilter
from journal.steps import reason_of
from journal.stream import Stream
from journal.telemetry import fields, span
from projections.fold import fold
from rollback.choice import NO_CHOICE, Choice
from rollback.closing import is_left_open
from rollback.cloud import Cloud
from rollback.compensator import Preview, Report, await_owner, preview, rollback_cluster
from rollback.errors import ChoiceRefused, NotEmpty
from rollback.plan import plan
from rollback.progress import Progress
from rollback.records import Records
from rollback.resume import resume

LOG: Final = logging.getLogger(__name__)
LOG.addFilter(RedactingFilter())  # an exception's text can hold what a server or a plugin put there
RECORD_IS_GONE: Final = "the conductor's record of the cluster is gone"
"""The reason of the request for deletion that the handler makes then."""


@attrs.frozen
class Handler:
    """What all operations of a conductor have in common: journal, cloud, and its own records of the clusters.

    `records` gives the record of a cluster. None says that it cannot be reached from here: nobody is told then, and
    `recover`, run where it can be reached, does so later.
    """

    journal: Journal
    cloud: Cloud
    records: Records | None
    progress: Progress = lambda _: None

    # ---- the operations of a conductor

    @contextmanager
    def operation(
        self, cluster: str, kind: OperationKind, *, victims: Sequence[str] = (), request: dict[str, Any] | None = None
    ) -> Iterator[Operation]:
        """Run an operation, and handle whatever goes wrong in it: the errors of its body end here.

        The body succeeded → the cluster is Active, and what was created in vain is swept. A user asked for the
        deletion meanwhile, or the record is gone → end quietly, and leak nothing. Anything else → record the error,
        compensate by replaying the journal, set the status with the reason. If compensation fails too: Error with both
        reasons, and the operation stays open for the next attempt. An interrupt gives up the lease and is raised again
        at once.

        `victims`: the servers that a scale will remove, and what goes with them; `request`: what was asked for, without
        secrets and without floats. Raises what `Journal.begin` raises, before the body runs.
        """
        running = self.journal.begin(cluster, kind, self.cloud.name, victims=victims, request=request)
        with self._handled(running):
            yield running

    @contextmanager
    def resume(self, cluster: str) -> Iterator[Operation]:
        """Carry the unfinished operation of a cluster forward, as `operation` runs a new one.

        Its body is the one that began it: steps with a key that have succeeded do not run again. Raises what
        `rollback.resume.resume` raises, before the body runs.
        """
        running = resume(self.journal, self.cloud, cluster, progress=self.progress)
        with self._handled(running):
            yield running

    def delete(self, cluster: str, *, by: str, reason: str = "") -> Report | None:
        """Delete a cluster for a user, whatever is going on with it, and return what came of it.

        The request fences the operation that is running, which ends quietly; everything that carries the cluster's
        marks is then found and deleted. If that fails, None is returned: the status says Error with the reason, the
        request stands, and `recover` tries again. Raises UnknownStream, or OutOfOrder if the cluster is Deleted, before
        anything is done.
        """
        self.journal.request_deletion(cluster, by=by, reason=reason)
        try:
            return self.compensate(cluster)
        except (Fenced, OwnerAlive) as error:
            LOG.info("cluster %s: its deletion is carried out by another conductor: %s", cluster, error, extra=fields(cluster))
        except Exception:
            LOG.exception("cluster %s: its deletion failed; it stands, and recover tries again", cluster, extra=fields(cluster))
        return None

    # ---- after a crash

    def compensate(self, cluster: str, *, wait: bool = False, choice: Choice = NO_CHOICE) -> Report:
        """Bring the cloud to a safe state for a cluster without a living owner, and tell its record what came of it.

        `choice`: what a person chose. Raises what `rollback_cluster` raises; the record then says Error, with the reason,
        unless nothing was tried.
        """
        stream = self.journal.stream(cluster)
        await_owner(self.journal, cluster, wait=wait, progress=self.progress)
        stream.refresh()
        deletion = self._deletion_without_record(stream)
        if deletion is not None and choice.may_ask_for_deletion:
            stream.request_deletion(deletion.by, deletion.reason)
        try:
            report = rollback_cluster(self.journal, self.cloud, cluster, choice=choice, wait=wait, progress=self.progress)
        except (Fenced, OwnerAlive, ChoiceRefused):
            raise
        except Exception as error:
            self.tell(cluster, ClusterStatus.ERROR, reason_of(error), version=stream.version)
            raise
        self.tell_report(report)
        return report

    def preview(self, cluster: str, *, wait: bool = False, choice: Choice = NO_CHOICE) -> Preview:
        """Return what `compensate` would do now; nothing is changed, appended or told. Raises what `compensate` raises."""
        await_owner(self.journal, cluster, wait=wait, progress=self.progress)
        deletion = self._deletion_without_record(self.journal.stream(cluster))
        return preview(self.journal, self.cloud, cluster, choice=choice, wait=wait, progress=self.progress, deletion=deletion)

    def tell_report(self, report: Report) -> None:
        """Tell the record what a compensation came to."""
        why = "; ".join(filter(None, (report.reason, *report.problems)))
        settled = report.complete and not report.waits
        self.tell(report.cluster, report.cluster_status, why, version=report.version, settled=settled)

    def tell(self, cluster: str, status: ClusterStatus, reason: str, *, version: int, settled: bool = False) -> None:
        """Tell the record of a cluster its status, as of a version; `settled`: whether nothing is left to do then.

        What fails here fails nothing else: as long as the stream is not settled, `recover` tells the record again. So what
        is not settled is noted as such before the record hears of it and after: another process may settle it meanwhile.
        """
        if self.records is None:
            return
        try:
            if not settled:
                self.journal.store.settle(cluster, 0)
            record = self.records(cluster)
            if record.exists():
                record.set_status(status, reason, version)
            self.journal.store.settle(cluster, version if settled else 0)
        except Exception:
            LOG.exception("cluster %s: its record was not told %s; recover will", cluster, status, extra=fields(cluster))

    # ---- how an operation ends

    @contextmanager
    def _handled(self, running: Operation) -> Iterator[None]:
        heartbeat = self.journal.threads.repeated(self.journal.settings.heartbeat_seconds, running.renew)
        with heartbeat:
            try:
                try:
                    with span(running.kind, running.about):
                        yield
                    self._succeed(running)
                except Exception as error:  # noqa: BLE001 (this is the place where they end)
                    self._clean_up(running, error)
            except BaseException as interrupt:
                _give_up(running, interrupt)
                raise

    def _succeed(self, running: Operation) -> None:
        if self._is_gone(running.cluster):
            self._clean_up(running, None)
            return
        if running.kind is OperationKind.DELETE:
            _refuse_rest(running)
        running.succeed()
        self._end(running)

    def _end(self, running: Operation) -> None:
        """Tell the record that the operation succeeded, and sweep what it created beside what it wanted."""
        status = ClusterStatus.DELETED if running.kind is OperationKind.DELETE else ClusterStatus.ACTIVE
        history = fold(running.stream.events)
        if not is_left_open(history):
            _release(running)
            self.tell(running.cluster, status, "", version=history.version, settled=True)
            return
        self.tell(running.cluster, status, "", version=history.version)
        try:
            self._compensate(running, "")
        except Fenced as fence:
            _log_quiet_end(running, str(fence))
        except Exception:
            LOG.exception("cluster %s: what is left over was not swept; recover will", running.cluster, extra=running.about)
            _release(running)

    def _clean_up(self, running: Operation, error: Exception | None) -> None:
        """Compensate an operation that failed, or whose cluster a user has deleted without asking (`error` is None)."""
        reason = RECORD_IS_GONE if error is None else reason_of(error)
        try:
            running.stream.refresh()
            if _has_succeeded(running):
                running.stream.refuse_fenced()
                LOG.warning("cluster %s: ended before it failed", running.cluster, exc_info=error, extra=running.about)
                self._end(running)
                return
            if not _deletion_stands(running.stream) and (error is None or self._is_gone(running.cluster)):
                running.stream.request_deletion(self.journal.conductor, RECORD_IS_GONE)
                LOG.info(
                    "cluster %s: %s operation ends quietly: %s",
                    running.cluster,
                    running.kind,
                    RECORD_IS_GONE,
                    extra=running.about,
                )
            else:
                running.stream.refuse_fenced()
                LOG.error("cluster %s: %s operation failed", running.cluster, running.kind, exc_info=error, extra=running.about)
                running.record_error(reason)
            self._compensate(running, reason)
        except Fenced as fence:
            why = "a user asked for the cluster's deletion" if _deletion_stands(running.stream) else str(fence)
            _log_quiet_end(running, why)
        except Exception as second:
            LOG.exception("cluster %s: compensation failed", running.cluster, extra=running.about)
            if _record_second(running, second):
                why = f"{reason}; then compensation failed: {reason_of(second)}"
                self.tell(running.cluster, ClusterStatus.ERROR, why, version=running.stream.version)

    def _compensate(self, running: Operation, reason: str) -> None:
        self.tell_report(
            rollback_cluster(
                self.journal, self.cloud, running.cluster, owned=running.stream, reason=reason, progress=self.progress
            )
        )

    # ---- the record

    def _is_gone(self, cluster: str) -> bool:
        """Whether the user has deleted the record for certain: where it cannot be asked, it is there."""
        if self.records is None:
            return False
        try:
            return not self.records(cluster).exists()
        except Exception:
            LOG.exception("cluster %s: its record cannot be asked, and is taken to be there", cluster, extra=fields(cluster))
            return False

    def _deletion_without_record(self, stream: Stream) -> DeletionRequested | None:
        """Return the request for the cluster's deletion, if its operation is unfinished and its record is gone."""
        history = fold(stream.events)
        if history.unfinished is not None and history.deletion_asked is None and self._is_gone(stream.id):
            return DeletionRequested(self.journal.conductor, RECORD_IS_GONE)
        return None


def handled(kind: OperationKind) -> Callable[[Callable[..., object]], Callable[..., None]]:
    """Make a function whose first argument is an operation into one that runs under a handler.

    It is then called with the handler and the cluster in place of the operation, and takes `victims` and `request` for
    `Handler.operation` beside its own arguments: `create(handler, "c-1", workers=3, request={"workers": 3})`.
    """

    def decorate(body: Callable[..., object]) -> Callable[..., None]:
        @functools.wraps(body)
        def run(
            handler: Handler,
            cluster: str,
            *args: Any,
            victims: Sequence[str] = (),
            request: dict[str, Any] | None = None,
            **kwargs: Any,
        ) -> None:
            with handler.operation(cluster, kind, victims=victims, request=request) as running:
                body(running, *args, **kwargs)

        return run

    return decorate


def _log_quiet_end(running: Operation, why: str) -> None:
    LOG.info("cluster %s: %s operation ends quietly: %s", running.cluster, running.kind, why, extra=running.about)


def _has_succeeded(running: Operation) -> bool:
    """Whether the operation's end stands in the journal: appended, even if the answer was lost."""
    return fold(running.stream.events).operations[running.id].outcome is OperationOutcome.SUCCEEDED


def _refuse_rest(running: Operation) -> None:
    """Raise NotEmpty if, as far as the journal knows, not everything is gone that a delete was to delete."""
    now = plan(fold(running.stream.events))
    if not now.is_settled or now.cluster_status is not ClusterStatus.DELETED:
        there = (verdict for verdict in now.verdicts if verdict.verdict not in (VerdictName.GONE, VerdictName.FOREIGN))
        raise NotEmpty(running.cluster, [str(verdict.id or verdict.name) for verdict in there])


def _deletion_stands(stream: Stream) -> bool:
    """Whether, as far as was read, somebody asked for the cluster's deletion, or it is carried out already."""
    history = fold(stream.events)
    return history.deletion_asked is not None or history.deleted is not None


def _record_second(running: Operation, second: Exception) -> bool:
    """Record that compensation failed, if the journal takes it: the operation is open either way, for the next attempt.

    Return whether it is still this one's, as far as can be told.
    """
    try:
        running.append(ErrorRecorded(ErrorDuring.COMPENSATION, reason_of(second)))
    except Fenced as fence:
        _log_quiet_end(running, str(fence))
        return False
    except JournalError:
        LOG.warning(
            "cluster %s: the failure of its compensation could not be recorded",
            running.cluster,
            exc_info=True,
            extra=running.about,
        )
    _release(running)
    return True


def _give_up(running: Operation, interrupt: BaseException) -> None:
    """Record the interrupt and give up the lease, so that another conductor can compensate at once."""
    try:
        running.record_error(reason_of(interrupt))
    except JournalError:
        _log_lost(running, "the interrupt could not be recorded")
    _release(running)


def _release(running: Operation) -> None:
    try:
        running.release()
    except StoreError:
        LOG.warning(
            "cluster %s: its lease could not be given up, and runs out", running.cluster, exc_info=True, extra=running.about
        )


def _log_lost(running: Operation, what: str) -> None:
    LOG.warning("cluster %s: %s", running.cluster, what, exc_info=True, extra=running.about)  # noqa: LOG014 (its callers handle one)
