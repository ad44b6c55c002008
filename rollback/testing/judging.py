"""Who knows, from the events of one cluster alone, what may hold data and what excuses its deletion.

Written from the definitions of the design and not with the code that decides: it asks neither verdicts nor the state
that they are made from. It says only what must not be deleted; what else is left to the policy is not its matter.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import attrs

from journal.events import (
    ClusterStatus,
    Completion,
    Configure,
    Create,
    CreateServer,
    Custom,
    Decommission,
    Delete,
    DeletionRequested,
    Event,
    HoldPlaced,
    HoldReleased,
    Intent,
    InventoryObserved,
    OperationFinished,
    OperationKind,
    OperationOutcome,
    OperationStarted,
    OperatorResolved,
    ServersAdopted,
    Stage,
    Start,
    StepOutcome,
    Word,
    deleted_by,
    listed_in,
)

TO_DELETE: Final = (Word.NEW, Word.UNNEEDED)
_EARLY: Final = timedelta(minutes=1)
_LATE: Final = timedelta(hours=1)
_FAR: Final = (Stage.CONFIGURE, Stage.START)


@attrs.define
class _Step:
    intent: Intent
    operation: UUID
    begun: int
    event: Event
    completion: Completion | None = None
    completed: int | None = None

    @property
    def succeeded(self) -> bool:
        return self.completion is not None and self.completion.outcome is StepOutcome.SUCCEEDED

    @property
    def puts_data(self) -> bool:
        return isinstance(self.intent, Configure | Start) or (isinstance(self.intent, Custom) and self.intent.may_hold_data)

    @property
    def covers_all(self) -> bool:
        return isinstance(self.intent, Configure | Start | Custom) and not self.intent.server_ids

    @property
    def told(self) -> str:
        return f"{self.intent.action} (version {self.begun})"


@attrs.define
class _Run:
    kind: OperationKind
    started: int
    victims: tuple[str, ...]
    outcome: OperationOutcome | None = None
    ended: int | None = None


@attrs.define
class Judge:
    """What the events of one cluster, up to some version, say of its servers and the rest."""

    events: Sequence[Event]
    steps: dict[UUID, _Step] = attrs.field(factory=dict)
    runs: dict[UUID, _Run] = attrs.field(factory=dict)
    adopted: dict[str, int] = attrs.field(factory=dict)
    maker: dict[str, UUID | None] = attrs.field(factory=dict)
    """By id: the create that it came from, as a completion named it, else as its first sighting was marked."""
    named: set[str] = attrs.field(factory=set)
    made_at: dict[str, object] = attrs.field(factory=dict)
    seen_with: dict[str, set[str]] = attrs.field(factory=dict)
    """By id of what is no server: what was seen to use it."""
    attached: dict[str, tuple[int, tuple[str, ...]]] = attrs.field(factory=dict)
    """By id of what is no server: as of which version it was last seen, and what used it then."""
    words: dict[str, tuple[int, Word]] = attrs.field(factory=dict)
    deletion: int | None = None
    """Since when deletion stands."""
    held: bool = False

    def __attrs_post_init__(self) -> None:
        for event in self.events:
            self._learn(event)

    def _learn(self, event: Event) -> None:  # noqa: C901, PLR0912 (one arm for each type of event)
        match event.data:
            case OperationStarted(kind=kind, victims=victims):
                assert event.operation is not None, "an operation has an id"
                self.runs[event.operation] = _Run(kind, event.version, victims)
                if kind is OperationKind.DELETE and self.deletion is None:
                    self.deletion = event.version
            case OperationFinished():
                self._end(event, event.data)
            case Completion(step=step, made=made):
                self.steps[step].completion, self.steps[step].completed = event.data, event.version
                if made is not None:
                    self.maker[made] = step
                    if event.data.resource_id is not None:
                        self.seen_with.setdefault(made, set())
                    self.named.add(made)
            case DeletionRequested():
                self.deletion = self.deletion or event.version
            case InventoryObserved():
                for id_, row in ((row.server_id, row) for row in event.data.servers):
                    self._see(id_, row.step, row.created_at)
                for other in event.data.resources:
                    self._see(other.resource_id, other.step, other.created_at)
                    self.seen_with.setdefault(other.resource_id, set()).update(other.attached_to)
                    self.attached[other.resource_id] = event.data.as_of, tuple(other.attached_to)
            case ServersAdopted(servers=servers):
                self.adopted |= {row.server_id: event.version for row in servers}
            case OperatorResolved(about=str(about), verdict=word):
                self.words[about] = event.version, word
            case HoldPlaced() | HoldReleased():
                self.held = isinstance(event.data, HoldPlaced)
            case intent if isinstance(intent, Intent):
                assert event.operation is not None, "a step is one of an operation"
                self.steps[intent.step] = _Step(intent, event.operation, event.version, event)
            case _:
                pass

    def _see(self, id_: str, step: UUID | None, made_at: object) -> None:
        self.maker.setdefault(id_, step)
        if made_at is not None:
            self.made_at.setdefault(id_, made_at)

    def _end(self, event: Event, end: OperationFinished) -> None:
        for id_, run in self._open().items():
            is_own = id_ == event.operation or end.outcome is OperationOutcome.ABANDONED
            run.outcome = end.outcome if is_own else OperationOutcome.CANCELLED  # what a delete took over
            run.ended = event.version
        if end.cluster_status is ClusterStatus.DELETED or end.outcome is OperationOutcome.ABANDONED:
            self.deletion = None

    def _open(self) -> dict[UUID, _Run]:
        """Return the operations that have not ended: one, or a delete and what it took over."""
        return {id_: run for id_, run in self.runs.items() if run.ended is None}

    # ---- judging

    def objection(self, id_: str, by_mark: UUID | None = None) -> str | None:
        """Return why something must not be deleted, or None. `by_mark`: its create, where the events do not tell it."""
        if self.held:
            return "a hold stands"
        maker = self._maker(id_) or by_mark
        if id_ not in self.adopted and maker is None:
            return "it is foreign: no create of this journal made it, and nobody adopted it"
        if self._is_copy(id_, maker):
            return "it is foreign: it carries the mark of a create, but was made at another time"
        word = self._word(id_)
        if word is not None:
            return None if word in TO_DELETE else f"an operator said that it is {word}"
        if self.deletion is not None or self._is_of_a_failed_creation(id_, maker):
            return None
        return self._data(id_, maker) or self._data_of_users(id_)

    def users_now(self, id_: str) -> list[str]:
        """Return what uses something that is no server, unless an operator spoke of that: as it was last seen, or made since."""
        if self._word(id_) is not None:
            return []
        as_of, users = self.attached.get(id_, (0, ()))
        using = (step for step in self.steps.values() if self._uses(step, id_))
        since = {step.intent.step for step in using if step.completed is None or step.completed > as_of}
        made = (server for server in self._made_with(id_) if self.maker[server] in since)
        return list(dict.fromkeys([*users, *made]))

    def _maker(self, id_: str) -> UUID | None:
        maker = self.maker.get(id_)
        step = self.steps.get(maker) if maker is not None else None
        return None if step is None or not isinstance(step.intent, Create) or id_ in self.adopted else maker

    def _is_copy(self, id_: str, maker: UUID | None) -> bool:
        made_at = self.made_at.get(id_)
        if maker is None or id_ in self.named or made_at is None:
            return False
        create = self.steps[maker]
        first, last = create.event.recorded_at - _EARLY, create.intent.deadline + _LATE
        return not first <= made_at <= last  # type: ignore[operator]  # both are times

    def _is_of_a_failed_creation(self, id_: str, maker: UUID | None) -> bool:
        """Whether the creation of the cluster goes on or failed, and made it: it never was the user's."""
        if maker is None or id_ in self.adopted:
            return False
        run = self.runs[self.steps[maker].operation]
        return run.kind is OperationKind.CREATE and run.ended is None

    def _word(self, id_: str) -> Word | None:
        """Return the operator's word that stands."""
        if id_ not in self.words:
            return None
        said, word = self.words[id_]
        later = [step for step in self.steps.values() if step.begun > said and step.intent.stage is not Stage.ROLLBACK]
        ended = any(isinstance(step.intent, Decommission) and self._covers(step, id_) for step in later)
        ended |= any(id_ in run.victims and run.started > said for run in self.runs.values()) or self.adopted.get(id_, 0) > said
        if word in TO_DELETE:
            ended |= any(self._covers(step, id_) for step in later)
            ended |= any(self._uses(step, id_) for step in later)
            ended |= any(self._ends_word(run, said, id_) for run in self.runs.values())
        return None if ended else word

    def _ends_word(self, run: _Run, said: int, id_: str) -> bool:
        if run.ended is None or run.ended < said:
            return False
        if run.started < said and run.outcome is OperationOutcome.SUCCEEDED:
            return True
        return any(
            isinstance(step.intent, Delete)
            and deleted_by(step.intent) == id_
            and self.runs[step.operation] is run
            and step.completion is not None
            and step.completion.outcome is not StepOutcome.FAILED
            and step.begun > said
            for step in self.steps.values()
        )

    def _uses(self, step: _Step, id_: str) -> bool:
        return isinstance(step.intent, CreateServer) and id_ in step.intent.resource_ids

    def _covers(self, step: _Step, id_: str, maker: UUID | None = None) -> bool:
        if not step.covers_all:
            return id_ in listed_in(step.intent)
        maker = maker or self._maker(id_)
        made = self.steps[maker].begun if maker is not None else None
        return self.adopted.get(id_, step.begun) < step.begun or (made is not None and made < step.begun)

    def _data(self, id_: str, maker: UUID | None) -> str | None:
        """Return why it may hold data that was not moved away."""
        since, why = max(self._put_to_work(id_, maker), key=lambda told: told[0], default=(0, ""))
        if not since:
            return None
        running = self._open()
        of_f = [step for step in self.steps.values() if step.operation in running]
        came_with = {id_, *self._users(id_)}
        decommissions = [step for step in of_f if isinstance(step.intent, Decommission)]
        covering = [step for step in decommissions if came_with.intersection(listed_in(step.intent))]
        moved = [step for step in covering if step.begun > since and step is covering[-1] and step.succeeded]
        if not moved:
            return why
        return self._kept_though_moved(id_, moved[-1], of_f, running)

    def _kept_though_moved(self, id_: str, moved: _Step, of_f: list[_Step], running: dict[UUID, _Run]) -> str | None:
        if any(step.intent.stage in _FAR for step in of_f):
            own = (step for step in of_f if isinstance(step.intent, Delete) and step.intent.stage is not Stage.ROLLBACK)
            if not any(
                deleted_by(step.intent) == id_ and step.begun > moved.begun for step in own if isinstance(step.intent, Delete)
            ):
                return "the scale came to configure or start, and its conductor had not begun to delete it"
        elif not any(step.intent.stage is Stage.INFRASTRUCTURE for step in of_f):
            victims = {id_ for run in running.values() for id_ in run.victims}
            victims.update(id_ for step in of_f if isinstance(step.intent, Decommission) for id_ in listed_in(step.intent))
            for victim in sorted(victims - self.seen_with.keys()):
                last = [step for step in of_f if isinstance(step.intent, Decommission) and self._covers(step, victim)][-1:]
                if not last or not last[0].succeeded:
                    return f"decommissioning is not complete: {victim} is not decommissioned"
        return None

    def _put_to_work(self, id_: str, maker: UUID | None) -> Iterator[tuple[int, str]]:
        """Yield since when it may hold data, and why."""
        if id_ in self.adopted:
            yield self.adopted[id_], f"it was adopted (version {self.adopted[id_]}), so it was in service before"
        for step in self.steps.values():
            if step.puts_data and self._covers(step, id_, maker):
                yield step.begun, f"{step.told} may have put data on it"
        begun = {step.operation for step in self.steps.values() if step.intent.stage is not Stage.ROLLBACK}
        for operation, run in self._open().items():
            if id_ in run.victims and operation in begun:
                yield run.started, f"it is a victim of the {run.kind} that is unfinished, and not decommissioned"
        if maker is None or not self.steps[maker].succeeded or id_ not in self.named:
            return
        run = self.runs[self.steps[maker].operation]
        if run.outcome is OperationOutcome.SUCCEEDED:
            yield run.ended or 0, f"the {run.kind} that made it succeeded (version {run.ended}): it is in service"
        far = [step for step in self.steps.values() if self.runs[step.operation] is run and step.intent.stage in _FAR]
        if run.ended is None and far:
            yield far[0].begun, f"the {run.kind} that made it came to {far[0].told}"

    def _data_of_users(self, id_: str) -> str | None:
        """Return why a server that was made with it may hold data, unless it was decommissioned for itself."""
        running = self._open()
        own = (step for step in self.steps.values() if isinstance(step.intent, Decommission) and step.operation in running)
        if any(step.succeeded and id_ in listed_in(step.intent) for step in own):
            return None
        for server in (server for server in self._made_with(id_) if not self._is_gone(server)):
            why = self.objection(server)
            if why is not None:
                return f"server {server} was made with it, and of that: {why}"
        return None

    def _users(self, id_: str) -> set[str]:
        """Return the servers that something, which is no server, was made or seen with."""
        return {*self._made_with(id_), *self.seen_with.get(id_, ())}

    def _made_with(self, id_: str) -> list[str]:
        makers = {step.intent.step for step in self.steps.values() if self._uses(step, id_)}
        made = (server for server in self.maker if self._maker(server) in makers)
        return [server for server in made if not self._is_copy(server, self.maker[server])]

    def _is_gone(self, id_: str) -> bool:
        """Whether a delete of it was done."""
        deletes = (step for step in self.steps.values() if isinstance(step.intent, Delete) and deleted_by(step.intent) == id_)
        return any(step.completion is not None and step.completion.outcome is not StepOutcome.FAILED for step in deletes)
