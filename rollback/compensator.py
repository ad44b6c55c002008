"""The compensator: brings the cloud to a safe state for a cluster, by replaying its journal. The one place that deletes.

    read journal + list cloud   →   fold → classify → plan   →   execute, journaling every action

It can be killed at any point and run again, from any machine: all it knows stands in the journal, and it appends
before it acts.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import attrs

from journal.errors import OwnerAlive, VersionConflict
from journal.events import (
    ClusterStatus,
    Data,
    DeletionRequested,
    ErrorDuring,
    ErrorRecorded,
    HoldPlaced,
    OperationFinished,
    OperationKind,
    OperationOutcome,
    OperationStarted,
    PlanAction,
    ResourceKind,
)
from journal.journal import Journal
from journal.redaction import redacted_text
from journal.stream import Stream
from journal.telemetry import Count, count, fields, span
from projections.fold import History, fold
from projections.verdicts import Verdict
from rollback.choice import NO_CHOICE, Choice
from rollback.closing import deletion_is_open, outcome, reason_of_end, settled_steps, waits_for_users
from rollback.cloud import Cloud, Found
from rollback.deletable import gone_servers, lost_history, new_user, objection, still_used
from rollback.deleting import Deleting
from rollback.errors import CloudError
from rollback.ledger import Ledger
from rollback.marked import Marked
from rollback.observe import Observation, is_news, look
from rollback.owners import why_in_doubt, why_unseen
from rollback.plan import Plan, plan
from rollback.progress import Progress

UNCONFIRMED: Final = "nobody has said yes to its deletion: it came to that after the look. Run it again"
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
    is_refused: bool
    """Whether a person stands against what is left to do: a hold, or more deletions than are allowed."""
    is_open: bool
    """Whether an operation is unfinished, or the plan has something to delete or in doubt."""
    waits: bool
    """Whether a user's deletion ends once servers let go of what they use: it has to be looked at again."""
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
        """What was kept as unsafe, for a person to decide."""
        return self.plan.kept


@attrs.frozen
class Preview:
    """What a rollback would do."""

    plan: Plan
    refusal: str | None
    """Why it would delete nothing, whatever the plan says: a hold, or more deletions than are allowed."""
    for_deletion: bool = False
    """Whether it would ask for the cluster's deletion first, because its record is gone."""


def preview(
    journal: Journal,
    cloud: Cloud,
    cluster: str,
    *,
    choice: Choice = NO_CHOICE,
    wait: bool = False,
    progress: Progress = lambda _: None,
    deletion: DeletionRequested | None = None,
) -> Preview:
    """Return what a rollback with this choice would do now. It lists the cloud and appends nothing.

    `deletion`: what would be asked for before. Raises what `rollback_cluster` raises.
    """
    stream = journal.stream(cluster)
    await_owner(journal, cluster, wait=wait, progress=progress)
    stream.refresh()
    journal.refuse_damage(cluster)
    observation = look(journal, cloud, fold(stream.events), progress)
    history = _foreseen(stream, observation, choice, deletion)
    made = plan(history)
    refusal = held(history) or choice.objection(history, made, ())
    return Preview(made, refusal, for_deletion=deletion is not None)


def rollback_cluster(
    journal: Journal,
    cloud: Cloud,
    cluster: str,
    *,
    owned: Stream | None = None,
    reason: str = "",
    choice: Choice = NO_CHOICE,
    wait: bool = False,
    progress: Progress = lambda _: None,
) -> Report:
    """Bring the cloud to a safe state for this cluster, and return what came of it.

    `owned` is the stream of a conductor that owns it; without it the stream is taken over, once no owner's lease
    lives (`wait` waits for that). `reason`: what went wrong, if the caller knows; `choice`: what a person chose. Running
    it again changes nothing in the cloud, and appends nothing unless something is new.

    Raises DamagedStream, OwnerAlive, UnknownStream, Fenced, ChoiceRefused, WrongCloud, UnsuitableCloud, or CloudError where the
    cloud cannot be listed.
    """
    stream = owned or journal.stream(cluster)
    if owned is None:
        await_owner(journal, cluster, wait=wait, progress=progress)
        stream.refresh()
    journal.refuse_damage(cluster)
    with span("compensate", fields(cluster)):
        return _Compensation(journal, cloud, stream, progress, owns=owned is not None, reason=reason, choice=choice).run()


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
        self, journal: Journal, cloud: Cloud, stream: Stream, progress: Progress, *, owns: bool, reason: str, choice: Choice
    ) -> None:
        self.journal = journal
        self.cloud = cloud
        self.stream = stream
        self.progress = progress
        self.owns = owns
        self.reason = reason
        self.choice = choice
        self.first_version = stream.version
        self.ledger = Ledger(journal, stream)
        self.deleting = Deleting(journal, cloud, self.ledger, progress)
        self.problems: list[str] = []
        self.is_refused = False
        self.planned: Plan | None = None

    @property
    def history(self) -> History:
        """What the stream amounts to, as read so far."""
        return self.ledger.history

    # ---- the run

    def run(self) -> Report:
        """Look, take the stream over if there is something to do, carry the plan out, end the operation."""
        observation = look(self.journal, self.cloud, self.history, self.progress)
        marked = Marked(self.journal, self.cloud, observation)
        for _ in range(MOST_ROUNDS):
            self.stream.refresh()
            if not self.owns:
                self.journal.refuse_live_owner(self.stream.id, even_own=True)
            self.problems = []
            self._refuse_choice(observation)
            news = is_news(self.stream.events, self.stream.draft(observation.event))
            if not self.owns and not news and not self._has_work(observation, marked):
                return self._report(plan(self.history))
            try:
                self._record(observation, news=news)
            except VersionConflict:
                continue
            count(Count.COMPENSATIONS)
            try:
                return self._settle(observation, marked)
            finally:
                self.ledger.release()
        return self._outrun()

    def _refuse_choice(self, observation: Observation) -> None:
        """Raise ChoiceRefused unless what was chosen fits the plan that is about to be carried out."""
        if self.choice != NO_CHOICE:
            _foreseen(self.stream, observation, self.choice)

    def _has_work(self, observation: Observation, marked: Marked) -> bool:
        """Whether there is anything to do or to record. If not, `problems` says why something is left all the same."""
        history = self.history
        if lost_history(history, self.journal.id, observation.found) is not None:
            return True
        if self._note_hold():
            return False
        now = plan(history)
        if settled_steps(history) or self.choice.words(now):
            return True
        if now.is_settled:
            return history.unfinished is not None or deletion_is_open(history, now)
        self.problems = self._obstacles(now, marked)
        if not self._is_too_much(now) and len(self.problems) < len(now.having(PlanAction.DELETE, PlanAction.FIND)):
            return True
        is_told = history.unfinished is None or "; ".join(self.problems) in history.errors[-1:]
        return now.differs_from(history.last_plan) or not is_told

    def _note_hold(self) -> bool:
        said = held(self.history)
        self.is_refused = said is not None
        if said is not None:
            self.problems.append(said)
        return said is not None

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
            self.ledger.append(HoldPlaced(self.journal.conductor, reason))

    def _settle(self, observation: Observation, marked: Marked) -> Report:
        """Carry the plan out, and make it anew whenever others appended meanwhile, until nothing is left or nothing helps."""
        for _ in range(MOST_ROUNDS):
            try:
                done = self._round(observation, marked)
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

    def _round(self, observation: Observation, marked: Marked) -> Report | None:
        """Do one round: a report once it is over, None if there is more to do."""
        self.problems = []
        self.ledger.decided_at = self.history.version
        self._hold_if_history_is_lost(observation)
        self._close_doubts()
        self._say_choice()
        history = self.history
        now = plan(history)
        self.planned = self.planned or now
        self._record_plan(history, now)
        if self._note_hold():
            return self._report(now)
        if now.is_settled:
            return self._finish(now)
        if self._delete_all(now, marked):
            return None
        self.problems += self._doubts(now)
        return self._incomplete(now)

    # ---- recording

    def _record_plan(self, history: History, now: Plan) -> None:
        if now.differs_from(history.last_plan):
            self.ledger.append(now.as_event())

    def _close_doubts(self) -> None:
        """Complete what the observations have settled: creates found or proved absent, deletes of servers that are gone."""
        for step, completion in settled_steps(self.history):
            self.ledger.append(completion, operation=step.operation.id)

    def _say_choice(self) -> None:
        words = self.choice.words(plan(self.history))
        if words:
            self.ledger.append(*words)

    def _open_operation(self) -> None:
        """Open an operation for the deletes, if none is open."""
        history = self.history
        if history.unfinished is not None:
            return
        kind = OperationKind.SWEEP if history.deletion_asked is None else OperationKind.DELETE
        assert history.cloud is not None, "what is to delete was listed in a cloud"
        started = OperationStarted(kind, self.journal.conductor, history.cloud, (), {})
        self.ledger.append(started, operation=self.journal.new_id())

    # ---- deleting

    def _delete_all(self, now: Plan, marked: Marked) -> bool:
        """Delete what the plan says, kind by kind. Return whether something changed, so that planning again may help."""
        if self._is_too_much(now):
            return False
        changed = False
        for kind in ResourceKind:
            due = [verdict for verdict in now.having(PlanAction.DELETE) if verdict.kind is kind]
            if due:
                changed |= self._delete(kind, due, marked)
        return changed

    def _delete(self, kind: ResourceKind, due: Sequence[Verdict], marked: Marked) -> bool:
        """Delete what is of one kind, and wait until it is gone; return whether any of it was asked for."""
        at_once = self.journal.settings.deletes_at_once
        self.deleting.expect(kind, len(due))
        waits = {} if kind is ResourceKind.SERVER else still_used(self.history, plan(self.history), marked.unseen)
        gone = gone_servers(plan(self.history))
        changed = False
        try:
            for first in range(0, len(due), at_once):
                changed |= self._send(due[first : first + at_once], marked, waits, gone)
        except Exception:
            self.deleting.await_gone()
            raise
        self.deleting.await_gone()
        return changed

    def _is_too_much(self, now: Plan) -> bool:
        """Whether the plan deletes more than it may; `problems` then says so, and of no single server."""
        objection = self.choice.objection(self.history, now, self.deleting.asked_for)
        if objection is not None:
            self.problems = [objection]
            self.is_refused = True
        return objection is not None

    def _send(self, due: Sequence[Verdict], marked: Marked, waits: Mapping[str, str], gone: Collection[str | None]) -> bool:
        """Ask for some deletes at the same time, unless something speaks against them. Return whether any was asked for."""
        free: list[str] = []
        for verdict, obstacle in self._obstacles_to(due, marked, waits, gone):
            if obstacle is None:
                free.append(_id_of(verdict))
            else:
                self.problems.append(f"{verdict.kind} {verdict.id}: {obstacle}")
        if free:
            self._open_operation()
            self.deleting.send(free)
        return bool(free)

    def _obstacles(self, now: Plan, marked: Marked) -> list[str]:
        """Return why what is left to do cannot be done, for each delete and each search that cannot."""
        waits = still_used(self.history, now, marked.unseen)
        obstacles = self._obstacles_to(now.having(PlanAction.DELETE), marked, waits, gone_servers(now))
        return [f"{verdict.kind} {verdict.id}: {obstacle}" for verdict, obstacle in obstacles if obstacle] + self._doubts(now)

    def _obstacles_to(
        self, due: Sequence[Verdict], marked: Marked, waits: Mapping[str, str], gone: Collection[str | None]
    ) -> Iterator[tuple[Verdict, str | None]]:
        """Yield why each of some things cannot be deleted now, or None if it can."""
        unconfirmed = dict.fromkeys(self.choice.unconfirmed(due), UNCONFIRMED)
        told = {**waits, **self.deleting.given_up, **unconfirmed}
        history = self.history
        with self.journal.threads.pool(self.journal.settings.deletes_at_once) as pool:
            shown = list(pool.map(lambda verdict: None if verdict.id in told else self._shown(verdict, marked), due))
        for verdict, found in zip(due, shown, strict=True):
            if isinstance(found, Found):
                word_stands = verdict.is_operators_word
                unmarked = objection(history, self.journal.id, found, word_stands=word_stands)
                yield verdict, unmarked or new_user(history, gone, found, word_stands=word_stands)
            else:
                yield verdict, told.get(_id_of(verdict), found)

    def _shown(self, verdict: Verdict, marked: Marked) -> Found | str | None:
        """Return how the cloud shows something, or why it cannot be told."""
        try:
            found = marked.read(_id_of(verdict), verdict.kind)
        except CloudError as error:
            self.progress(redacted_text(f"the marks of {verdict.id} cannot be read: {error}"))
            return "its marks cannot be read"
        return why_unseen(self.history, verdict, self.cloud.user_id) if found is None else found

    def _doubts(self, now: Plan) -> list[str]:
        """Return what is to find, as problems."""
        history, user = self.history, self.cloud.user_id
        to_find = [(v.name, history.creates[v.step]) for v in now.having(PlanAction.FIND) if v.step is not None]
        reasons = ((name, create.id, why_in_doubt(history, create, user)) for name, create in to_find)
        return [f"create {step} of {name!r} is still in doubt: {why}" for name, step, why in reasons]

    # ---- ending

    def _finish(self, now: Plan) -> Report:
        if self.history.unfinished is None and deletion_is_open(self.history, now):
            self._open_operation()
        history = self.history
        operation = history.unfinished
        if operation is not None:
            reason = self.reason or reason_of_end(history, operation)
            self.ledger.append(OperationFinished(outcome(history, operation, now), now.cluster_status, reason))
        return self._report(now)

    def _incomplete(self, now: Plan) -> Report:
        """Record why something is left to do.

        The operation stays open for the next attempt, but a sweep ends: another may follow. Where a user asked for
        the deletion, a sweep can only end with the cluster Deleted, so it stays open, too.
        """
        reason, history = "; ".join(self.problems), self.history
        operation = history.unfinished
        if operation is not None and operation.kind is OperationKind.SWEEP and history.deletion_asked is None:
            self.ledger.append(OperationFinished(OperationOutcome.FAILED, now.cluster_status, reason))
        elif operation is not None:
            self.ledger.append(ErrorRecorded(ErrorDuring.COMPENSATION, reason))
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
            deleted=tuple(self.deleting.deleted),
            problems=tuple(self.problems),
            is_refused=self.is_refused or bool(self.choice.unconfirmed(now.having(PlanAction.DELETE))),
            is_open=open_,
            waits=waits_for_users(history, now),
            reason=self._what_went_wrong(),
            changed=self.stream.version > self.first_version,
            version=history.version,
        )


def _foreseen(stream: Stream, observation: Observation, choice: Choice, deletion: DeletionRequested | None = None) -> History:
    """Return what the stream will amount to once it was told what was observed and chosen. Raises ChoiceRefused."""
    history = fold(stream.events)

    def tell(data: Data) -> None:
        history.apply(attrs.evolve(stream.draft(data), version=history.version + 1))

    if deletion is not None:
        tell(deletion)
    tell(observation.event)
    choice.refuse(plan(history))
    for word in choice.words(plan(history)):
        tell(word)
    choice.refuse_another(plan(history))
    return history


def held(history: History) -> str | None:
    """Return the hold that stands, and what to do about it, if there is one."""
    hold = history.hold
    if hold is None:
        return None
    said = f"a hold stands, placed by {hold.by}: {hold.reason}"
    return f"{said}. Once somebody has looked: `provjournal release {history.stream} --reason …`"


def _id_of(verdict: Verdict) -> str:
    assert verdict.id is not None, "only what is known can be deleted"
    return verdict.id
