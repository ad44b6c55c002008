"""The compensator: brings the cloud to a safe state for a cluster, by replaying its journal. The one place that deletes.

    read journal + list cloud   →   fold → classify → plan   →   execute, journaling every action

It can be killed at any point and run again, from any machine: all it knows stands in the journal, and it appends
before it acts.
"""

from collections import Counter
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

import attrs

from journal.errors import OwnerAlive, VersionConflict
from journal.events import (
    ClusterStatus,
    Completion,
    Data,
    DeleteServer,
    ErrorDuring,
    ErrorRecorded,
    HoldPlaced,
    OperationFinished,
    OperationKind,
    OperationOutcome,
    OperationStarted,
    PlanAction,
    Stage,
    StepOutcome,
)
from journal.journal import Journal
from journal.stream import Stream
from journal.telemetry import Count, count, fields, span
from projections.fold import History, fold
from projections.verdicts import Verdict
from rollback.closing import deletion_is_open, end_of_delete, outcome, reason_of_end, settled_steps
from rollback.cloud import Cloud, DeleteAnswer
from rollback.deletable import lost_history, objection
from rollback.errors import CloudError, CloudRefused
from rollback.observe import Observation, Progress, is_news, look
from rollback.plan import Plan, plan

MARKS_HOLD_FOR: Final = timedelta(minutes=1)
"""How old the listing may be from which a server's marks are believed."""
MOST_ROUNDS: Final = 20
"""How often a plan is made anew in one compensation because others appended meanwhile."""


@attrs.frozen
class Report:
    """What one compensation came to."""

    cluster: str
    planned: Plan
    """The plan as it was before anything was done."""
    plan: Plan
    """The plan as it is now."""
    cluster_status: ClusterStatus
    """What the cluster is now: Error while anything is left to do."""
    deleted: tuple[str, ...]
    problems: tuple[str, ...]
    """Why something is left to do; empty if the compensation is complete."""
    is_open: bool
    """Whether an operation is unfinished, or the plan has something to delete or in doubt."""
    reason: str
    """What went wrong in the operation that was compensated, for people."""
    changed: bool
    """Whether anything was appended to the journal."""
    version: int
    """The stream's version at the end of it."""

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return not self.problems and not self.is_open

    @property
    def kept(self) -> tuple[Verdict, ...]:
        """The servers that were kept as unsafe, for a person to decide."""
        return self.plan.kept


def preview(journal: Journal, cloud: Cloud, cluster: str, *, wait: bool = False, progress: Progress = lambda _: None) -> Plan:
    """Return the plan that a rollback would carry out now. It lists the cloud and appends nothing.

    Raises what `rollback_cluster` raises.
    """
    stream = journal.stream(cluster)
    await_owner(journal, cluster, wait=wait, progress=progress)
    stream.refresh()
    journal.refuse_damage(cluster)
    observation = look(journal, cloud, fold(stream.events), progress)
    return plan(fold((*stream.events, stream.draft(observation.event))))


def rollback_cluster(
    journal: Journal,
    cloud: Cloud,
    cluster: str,
    *,
    owned: Stream | None = None,
    reason: str = "",
    wait: bool = False,
    progress: Progress = lambda _: None,
) -> Report:
    """Bring the cloud to a safe state for this cluster, and return what came of it.

    `owned` is the stream of a conductor that owns it; without it the stream is taken over, once no owner's lease
    lives (`wait` waits for that). `reason`: what went wrong, if the caller knows. Running it again changes nothing in
    the cloud, and appends nothing unless something is new.

    Raises DamagedStream, OwnerAlive, UnknownStream, Fenced, WrongCloud, UnsuitableCloud, or CloudError where the cloud cannot be
    listed.
    """
    stream = owned or journal.stream(cluster)
    if owned is None:
        await_owner(journal, cluster, wait=wait, progress=progress)
        stream.refresh()
    journal.refuse_damage(cluster)
    with span("compensate", fields(cluster)):
        return _Compensation(journal, cloud, stream, progress, owns=owned is not None, reason=reason).run()


def await_owner(journal: Journal, cluster: str, *, wait: bool, progress: Progress = lambda _: None) -> None:
    """Return once no lease on the cluster lives. Raises OwnerAlive at once unless `wait`.

    Not even one's own: another thread of this conductor may be at work.
    """
    told = None
    while True:
        try:
            return journal.refuse_live_owner(cluster, even_own=True)
        except OwnerAlive as error:
            if not wait:
                raise
            if told != (told := (error.owner, error.lease_expires_at)):
                progress(f"waiting for the lease of {error.owner}, until {error.lease_expires_at:%H:%M:%S} UTC")
            journal.clock.sleep(journal.settings.poll_seconds)


class _Compensation:
    """One run of the compensator over one cluster."""

    def __init__(
        self, journal: Journal, cloud: Cloud, stream: Stream, progress: Progress, *, owns: bool = False, reason: str = ""
    ) -> None:
        self.journal = journal
        self.cloud = cloud
        self.stream = stream
        self.progress = progress
        self.owns = owns
        self.reason = reason
        self.first_version = stream.version
        self.deleted: list[str] = []
        self.problems: list[str] = []
        self.attempts: Counter[str] = Counter()
        self.given_up: dict[str, str] = {}
        self.planned: Plan | None = None
        self.decided_at = stream.version
        """The version that the present plan rests on, and what this run has appended to it."""
        self._history = History()

    @property
    def history(self) -> History:
        """What the stream amounts to, as read so far."""
        for event in self.stream.since(self._history.version):
            self._history.apply(event)
        return self._history

    # ---- the run

    def run(self) -> Report:
        """Look, take the stream over if there is something to do, carry the plan out, end the operation."""
        observation = look(self.journal, self.cloud, self.history, self.progress)
        for _ in range(MOST_ROUNDS):
            self.stream.refresh()
            if not self.owns:
                self.journal.refuse_live_owner(self.stream.id, even_own=True)
            self.problems = []
            news = is_news(self.stream.events, self.stream.draft(observation.event))
            if not self.owns and not news and not self._has_work(observation):
                return self._report(plan(self.history))
            try:
                self._record(observation, news=news)
            except VersionConflict:
                continue
            count(Count.COMPENSATIONS)
            try:
                return self._settle(observation)
            finally:
                self.journal.store.release(self.stream.id, self.journal.conductor, epoch=self.stream.epoch)
        return self._outrun()

    def _has_work(self, observation: Observation) -> bool:
        """Whether there is anything to do or to record. If not, `problems` says why something is left all the same."""
        history = self.history
        if lost_history(history, self.journal.id, observation.found) is not None:
            return True
        if self._note_hold():
            return False
        if settled_steps(history):
            return True
        now = plan(history)
        if now.is_settled:
            return history.unfinished is not None or deletion_is_open(history, now)
        self.problems = self._obstacles(now, observation)
        if len(self.problems) < len(now.having(PlanAction.DELETE, PlanAction.FIND)):
            return True
        is_told = history.unfinished is None or "; ".join(self.problems) in history.errors[-1:]
        return now.differs_from(history.last_plan) or not is_told

    def _note_hold(self) -> bool:
        hold = self.history.hold
        if hold is not None:
            said = f"a hold stands, placed by {hold.by}: {hold.reason}"
            self.problems.append(f"{said}. Once somebody has looked: `provjournal release {self.stream.id} --reason …`")
        return hold is not None

    def _record(self, observation: Observation, *, news: bool) -> None:
        unfinished = self.history.unfinished
        operation = None if unfinished is None else unfinished.id
        more = (observation.event,) if news else ()
        if not self.owns:
            self.stream.take("compensates", self.journal.claim, *more, operation=operation)
        elif more:
            self.stream.append_next(*more, operation=operation, claim=self.journal.claim)

    def _hold_if_history_is_lost(self, observation: Observation) -> None:
        reason = lost_history(self.history, self.journal.id, observation.found)
        if reason is not None:
            self._append(HoldPlaced(self.journal.conductor, reason))

    def _settle(self, observation: Observation) -> Report:
        """Carry the plan out, and make it anew whenever others appended meanwhile, until nothing is left or nothing helps."""
        for _ in range(MOST_ROUNDS):
            try:
                done = self._round(observation)
            except VersionConflict:
                self.stream.refresh()
                self.progress("somebody appended meanwhile: planning again")
                continue
            if done is not None:
                return done
        return self._outrun()

    def _outrun(self) -> Report:
        self.problems.append("others kept appending to the cluster")
        return self._report(plan(self.history))

    def _round(self, observation: Observation) -> Report | None:
        """Do one round: a report once it is over, None if there is more to do."""
        self.problems = []
        self.decided_at = self.history.version
        self._hold_if_history_is_lost(observation)
        self._close_doubts()
        history = self.history
        now = plan(history)
        self.planned = self.planned or now
        self._record_plan(history, now)
        if self._note_hold():
            return self._report(now)
        if now.is_settled:
            return self._finish(now)
        if self._delete_all(now, observation):
            return None
        self.problems += _doubts(now)
        return self._incomplete(now)

    # ---- recording

    def _append(self, *data: Data, operation: UUID | None = None) -> None:
        """Append right after what the plan rests on: whatever others appended meanwhile makes it stale."""
        owner = operation or (self.history.unfinished.id if self.history.unfinished else None)
        stored = self.stream.append(*data, operation=owner, claim=self.journal.claim, after=self.decided_at)
        self.decided_at = stored[-1].version

    def _record_plan(self, history: History, now: Plan) -> None:
        if now.differs_from(history.last_plan):
            self._append(now.as_event())

    def _close_doubts(self) -> None:
        """Complete what the observations have settled: creates found or proved absent, deletes of servers that are gone."""
        for step, completion in settled_steps(self.history):
            self._append(completion, operation=step.operation.id)

    def _open_operation(self) -> None:
        """Open an operation for the deletes, if none is open."""
        history = self.history
        if history.unfinished is not None:
            return
        kind = OperationKind.SWEEP if history.deletion_asked is None else OperationKind.DELETE
        assert history.cloud is not None, "a server to delete was listed in a cloud"
        started = OperationStarted(kind, self.journal.conductor, history.cloud, (), {})
        self._append(started, operation=uuid4())

    # ---- deleting

    def _delete_all(self, now: Plan, observation: Observation) -> bool:
        """Delete what the plan says. Return whether something changed, so that planning again may help."""
        sent: dict[str, UUID] = {}
        changed = False
        try:
            for verdict in now.having(PlanAction.DELETE):
                assert verdict.server_id is not None, "only a server can be deleted"
                obstacle = self._obstacle(verdict, observation)
                if obstacle is not None:
                    self.problems.append(f"server {verdict.server_id}: {obstacle}")
                    continue
                self._open_operation()
                step = self._send_delete(verdict.server_id)
                changed = True
                if step is not None:
                    sent[verdict.server_id] = step
        except Exception:
            self._await_gone(sent)
            raise
        self._await_gone(sent)
        return changed

    def _obstacles(self, now: Plan, observation: Observation) -> list[str]:
        """Return why what is left to do cannot be done, for each delete and each search that cannot."""
        obstacles = ((verdict, self._obstacle(verdict, observation)) for verdict in now.having(PlanAction.DELETE))
        return [f"server {verdict.server_id}: {obstacle}" for verdict, obstacle in obstacles if obstacle] + _doubts(now)

    def _obstacle(self, verdict: Verdict, observation: Observation) -> str | None:
        """Return why a server cannot be deleted now, or None if it can."""
        assert verdict.server_id is not None
        if verdict.server_id in self.given_up:
            return self.given_up[verdict.server_id]
        fresh = self.journal.clock.now() - observation.event.began_at < MARKS_HOLD_FOR
        found = observation.found.get(verdict.server_id) if fresh else None
        if found is None:
            try:
                found = self.cloud.get(verdict.server_id)
            except CloudError as error:
                self.progress(f"the marks of {verdict.server_id} cannot be read: {error}")
                return "its marks cannot be read"
        if found is None:
            return None
        return objection(self.history, self.journal.id, found, word_stands=verdict.is_operators_word)

    def _send_delete(self, server_id: str) -> UUID | None:
        """Journal a delete and send it. Return its step if there is something to wait for."""
        settings, step = self.journal.settings, uuid4()
        deadline = self.journal.clock.now() + timedelta(seconds=settings.api_timeout_seconds)
        self._append(DeleteServer(step, Stage.ROLLBACK, deadline, server_id))
        self.attempts[server_id] += 1
        if self.attempts[server_id] >= settings.delete_attempts:
            self.given_up[server_id] = f"not deleted in {self.attempts[server_id]} attempts"
        self.progress(f"deleting {server_id}")
        try:
            answer = self.cloud.delete(server_id)
        except CloudRefused as error:
            self._complete(step, StepOutcome.FAILED, f"the cloud refused: {error}")
            return None
        except CloudError as error:
            self.progress(f"the outcome of deleting {server_id} is unknown: {error}")
            return step
        if answer is DeleteAnswer.ABSENT:
            self._complete(step, StepOutcome.ABSENT, "the server was not there")
            self._note_deleted(server_id)
            return None
        return step

    def _await_gone(self, sent: dict[str, UUID]) -> None:
        """Wait until the servers are gone, and complete their deletes as what they came to."""
        settings, clock = self.journal.settings, self.journal.clock
        until = clock.now() + timedelta(seconds=settings.delete_timeout_seconds)
        pending = dict(sent)
        while pending:
            for server_id, step in list(pending.items()):
                ended = self._ended(server_id)
                if ended is None:
                    continue
                outcome, reason = ended
                self._complete(step, outcome, reason)
                del pending[server_id]
                if outcome is not StepOutcome.FAILED:
                    self._note_deleted(server_id)
                    self.progress(f"{server_id} is gone")
            if pending and clock.now() >= until:
                late = f"still there {settings.delete_timeout_seconds:g} s after its delete"
                self.given_up |= dict.fromkeys(pending, late)
                return
            if pending:
                self.journal.store.renew(self.stream.id, self.journal.claim, epoch=self.stream.epoch)
                clock.sleep(settings.poll_seconds)

    def _note_deleted(self, server_id: str) -> None:
        self.deleted.append(server_id)
        count(Count.DELETIONS)

    def _ended(self, server_id: str) -> tuple[StepOutcome, str | None] | None:
        """Return how a delete ended, or None while it has not."""
        try:
            server = self.cloud.get(server_id)
        except CloudError:
            return None
        return end_of_delete(server)

    def _complete(self, step: UUID, outcome: StepOutcome, reason: str | None = None) -> None:
        """Complete a delete of this run: a fact, whatever others appended meanwhile."""
        operation = self.history.steps[step].operation.id
        completion = Completion(step, outcome, reason=reason)
        stored = self.stream.append_next(completion, operation=operation, claim=self.journal.claim)
        if stored[0].version == self.decided_at + 1:
            self.decided_at = stored[-1].version

    # ---- ending

    def _finish(self, now: Plan) -> Report:
        if self.history.unfinished is None and deletion_is_open(self.history, now):
            self._open_operation()
        history = self.history
        operation = history.unfinished
        if operation is not None:
            reason = self.reason or reason_of_end(history, operation)
            self._append(OperationFinished(outcome(history, operation, now), now.cluster_status, reason))
        return self._report(now)

    def _incomplete(self, now: Plan) -> Report:
        """Record why something is left to do.

        The operation stays open for the next attempt, but a sweep ends: another may follow. Where a user asked for
        the deletion, a sweep can only end with the cluster Deleted, so it stays open, too.
        """
        reason, history = "; ".join(self.problems), self.history
        operation = history.unfinished
        if operation is not None and operation.kind is OperationKind.SWEEP and history.deletion_asked is None:
            self._append(OperationFinished(OperationOutcome.FAILED, now.cluster_status, reason))
        elif operation is not None:
            self._append(ErrorRecorded(ErrorDuring.COMPENSATION, reason))
        return self._report(now)

    def _what_went_wrong(self) -> str:
        return self.reason or next(reversed(self.history.errors), "")

    def _report(self, now: Plan) -> Report:
        history = self.history
        open_ = history.unfinished is not None or not now.is_settled
        return Report(
            cluster=self.stream.id,
            planned=self.planned or now,
            plan=now,
            cluster_status=ClusterStatus.ERROR if open_ else now.cluster_status,
            deleted=tuple(self.deleted),
            problems=tuple(self.problems),
            is_open=open_,
            reason=self._what_went_wrong(),
            changed=self.stream.version > self.first_version,
            version=history.version,
        )


def _doubts(now: Plan) -> list[str]:
    """Return what is to find, as problems."""
    return [
        f"create {verdict.step} of {verdict.name!r} is still in doubt: the cloud could not be seen whole"
        for verdict in now.having(PlanAction.FIND)
    ]
