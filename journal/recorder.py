"""An operation, as the conductor runs it: its steps, one after the other or in parallel, and waiting.

with operation.create_server("worker", "c-1-worker-001") as step:
step.created(cloud.create_server(step, image_id=…, flavor_id=…))
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import count
from typing import Final, TypeVar
from uuid import UUID, uuid5

import attrs

from journal.clock import Clock
from journal.errors import Fenced, JournalError, KeyReused, StepInDoubt, WaitTimedOut
from journal.events import (
    OF_A_USER,
    ClusterStatus,
    Completion,
    Configure,
    CreateResource,
    CreateServer,
    Custom,
    Data,
    Decommission,
    Delete,
    DeleteResource,
    DeleteServer,
    ErrorDuring,
    ErrorRecorded,
    Event,
    Intent,
    OperationFinished,
    OperationKind,
    OperationOutcome,
    OperationStarted,
    ResourceKind,
    Stage,
    Start,
    StepOutcome,
    listed_in,
)
from journal.parallel import run_all
from journal.settings import Settings
from journal.steps import Body, PlannedStep, Step, completion_of, silent_create
from journal.store import Claim
from journal.stream import Stream
from journal.telemetry import fields
from journal.threads import Threads
from journal.value import Value

AT_ONCE: Final = 10
"""How many steps run in parallel, unless the caller says otherwise."""
LOG = logging.getLogger(__name__)

Result = TypeVar("Result")


@attrs.define
class Begun:
    """A step that the operation has begun."""

    intent: Intent
    completion: Completion | None = None

    @property
    def is_done(self) -> bool:
        """Whether what the step was to do has come about."""
        if self.completion is None:
            return False
        absent_will_do = isinstance(self.intent, Delete) and self.completion.outcome is StepOutcome.ABSENT
        return absent_will_do or self.completion.outcome is StepOutcome.SUCCEEDED


@attrs.frozen(eq=False, repr=False)
class Workplace(Value):
    """Who runs an operation, and with what."""

    journal_id: UUID
    claim: Claim
    clock: Clock
    settings: Settings
    threads: Threads
    new_id: Callable[[], UUID]


class Operation:
    """One running operation of one cluster. Its steps may be run from many threads."""

    def __init__(
        self,
        workplace: Workplace,
        stream: Stream,
        id_: UUID,
        started: OperationStarted,
        begun: Mapping[UUID, Begun] | None = None,
    ) -> None:
        """`begun`: the steps of an operation that another process began."""
        self.id = id_
        self.started = started
        """What was asked for: kind, victims and request."""
        self.stream = stream
        self._at = workplace
        self._begun: dict[UUID, Begun] = dict(begun or {})

    @property
    def cluster(self) -> str:
        """The cluster that the operation is for."""
        return self.stream.id

    @property
    def about(self) -> dict[str, str]:
        """What a log record or a span says that it is about."""
        return fields(self.cluster, self.id)

    @property
    def kind(self) -> OperationKind:
        """Whether it is a create, a scale or a delete."""
        return self.started.kind

    # ---- steps

    def create_server(
        self, node_group: str, name: str, resource_ids: Sequence[str] = (), *, key: str | None = None
    ) -> PlannedStep:
        """Create a server; the body must call `created` on the step once it knows the id.

        `resource_ids`: what of this cluster it is made with, its ports, volumes and groups. List them where you can: what
        no server lists is taken to be used by whatever is configured.
        """
        stage, ids = Stage.INFRASTRUCTURE, tuple(resource_ids)
        return PlannedStep(self, lambda id_, deadline: CreateServer(id_, stage, deadline, node_group, name, ids), name, key)

    def create_resource(self, kind: ResourceKind, name: str, *, user: str | None = None, key: str | None = None) -> PlannedStep:
        """Create what a server brings along; the body must call `created` on the step once it knows the id.

        `user`: to whom a keypair belongs, which no other user sees. Say it: without, none that is lost is ever proved absent.
        Raises ValueError for the user of what belongs to its project.
        """
        stage, made = Stage.INFRASTRUCTURE, _not_server(kind, "create_server")
        if user is not None and made not in OF_A_USER:
            msg = f"a {made} belongs to its project: leave the user out"
            raise ValueError(msg)
        return PlannedStep(self, lambda id_, deadline: CreateResource(id_, stage, deadline, made, name, user), name, key)

    def delete_server(self, server_id: str, *, key: str | None = None) -> PlannedStep:
        """Delete a server; the body returns only once it is gone, and raises `Absent` if it was not there."""
        stage = Stage.INFRASTRUCTURE
        return PlannedStep(self, lambda id_, deadline: DeleteServer(id_, stage, deadline, server_id), server_id, key)

    def delete_resource(self, kind: ResourceKind, resource_id: str, *, key: str | None = None) -> PlannedStep:
        """Delete what a server brought along; the body returns and raises as that of `delete_server`."""
        stage, gone = Stage.INFRASTRUCTURE, _not_server(kind, "delete_server")
        return PlannedStep(self, lambda id_, deadline: DeleteResource(id_, stage, deadline, gone, resource_id), resource_id, key)

    def decommission(self, server_ids: Sequence[str], resource_ids: Sequence[str] = (), *, key: str | None = None) -> PlannedStep:
        """Move data and work off these servers; `resource_ids`: what goes with them, a volume whose data moved, say."""
        stage, ids, more = Stage.DECOMMISSION, tuple(server_ids), tuple(resource_ids)
        return PlannedStep(self, lambda id_, deadline: Decommission(id_, stage, deadline, ids, more), _named(ids), key)

    def configure(self, server_ids: Sequence[str] = (), *, key: str | None = None) -> PlannedStep:
        """Configure these servers; none means the whole cluster. List them where you can: it keeps more of them deletable."""
        stage, ids = Stage.CONFIGURE, tuple(server_ids)
        return PlannedStep(self, lambda id_, deadline: Configure(id_, stage, deadline, ids), _named(ids), key)

    def start(self, server_ids: Sequence[str] = (), *, key: str | None = None) -> PlannedStep:
        """Start the processes on these servers; none means the whole cluster."""
        stage, ids = Stage.START, tuple(server_ids)
        return PlannedStep(self, lambda id_, deadline: Start(id_, stage, deadline, ids), _named(ids), key)

    def custom(
        self, stage: Stage, name: str, server_ids: Sequence[str] = (), *, may_hold_data: bool, key: str | None = None
    ) -> PlannedStep:
        """Do something of the conductor's own. `may_hold_data`: whether it can put data on the servers."""
        ids = tuple(server_ids)
        return PlannedStep(self, lambda id_, deadline: Custom(id_, stage, deadline, name, ids, may_hold_data), name, key)

    def run_all(self, steps: Sequence[PlannedStep], body: Body, *, at_once: int = AT_ONCE) -> list[Step]:
        """Run steps in parallel, `at_once` at a time, and return them in the order in which they were given.

        Intents and completions that are due together go together into one append. When a body raises, no further step
        starts; those in flight go on to their end and are recorded; then the first error is raised, with the others as
        its notes.
        """
        return run_all(self, steps, body, self._at.threads, at_once)

    # ---- waiting

    def wait_until(
        self,
        condition: Callable[[], Result],
        what: str,
        *,
        timeout_seconds: float,
        poll_seconds: float | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Result:
        """Ask until the answer is true, and return it. `what`: what is waited for, for people.

        Beside the handler this is the only place that looks whether the operation may go on: each time before it asks.
        Raises Fenced if a user asked for the cluster's deletion or another conductor took it over, WaitTimedOut, and
        whatever `condition` raises.
        """
        pause = self._at.settings.poll_seconds if poll_seconds is None else poll_seconds
        until = self._at.clock.now() + timedelta(seconds=timeout_seconds)
        while True:
            self.stream.refuse_fenced()
            answer = condition()
            if answer:
                return answer
            left = (until - self._at.clock.now()).total_seconds()
            if left <= 0:
                raise WaitTimedOut(self.cluster, what, timeout_seconds)
            progress(f"waiting until {what}, for at most {left:.0f} s more")
            self._at.clock.sleep(min(pause, left))

    # ---- the operation itself

    def succeed(self) -> None:
        """End the operation: everything is as asked for."""
        status = ClusterStatus.DELETED if self.kind is OperationKind.DELETE else ClusterStatus.ACTIVE
        self.append(OperationFinished(OperationOutcome.SUCCEEDED, status, ""))

    def record_error(self, reason: str) -> None:
        """Record what went wrong, for people."""
        self.append(ErrorRecorded(ErrorDuring.OPERATION, reason))

    def append(self, *data: Data) -> tuple[Event, ...]:
        """Append to the operation, after whatever others appended, and renew the lease. Raises Fenced when it was taken over."""
        return self.stream.append_next(*data, operation=self.id, claim=self._at.claim)

    def renew(self) -> None:
        """Renew the lease: the heartbeat. It raises nothing: whoever is fenced finds out at the next append or wait."""
        try:
            self.stream.renew(self._at.claim)
        except Fenced:
            LOG.debug("cluster %s: the lease is not this conductor's any more", self.cluster, extra=self.about)
        except JournalError as error:
            LOG.warning("cluster %s: the lease could not be renewed: %s", self.cluster, error, extra=self.about)

    def release(self) -> None:
        """Give the stream up: nobody has to wait for the lease to run out."""
        self.stream.release(self._at.claim.owner)

    # ---- recording steps

    def begin_all(self, steps: Sequence[PlannedStep], *more: Data) -> list[Step]:
        """Commit the intents of steps, after whatever `more` there is to record, in one append."""
        deadline = self._at.clock.now() + timedelta(seconds=self._at.settings.api_timeout_seconds)
        intents = [planned.intent(self._next_id(planned), deadline) for planned in steps]
        if more or intents:
            self.append(*more, *intents)
        self._begun |= {intent.step: Begun(intent) for intent in intents}
        return [self._as_step(planned, intent) for planned, intent in zip(steps, intents, strict=True)]

    def begin(self, planned: PlannedStep) -> Step:
        """Commit the intent of one step."""
        return self.begin_all([planned])[0]

    def end(self, step: Step, error: BaseException | None) -> None:
        """Record how the body of one step ended, as far as that is known."""
        completion = self.ended(step, error)
        if completion is not None:
            self.append(completion)
        elif error is None:
            raise silent_create(step)

    def ended(self, step: Step, error: BaseException | None) -> Completion | None:
        """Return how the body of a step ended, for whoever records it; None where that is unknown."""
        begun = self._begun[step.id]
        begun.completion = completion_of(step, begun.intent, error)
        said = "has an unknown outcome" if begun.completion is None else begun.completion.outcome
        LOG.info("cluster %s: %s %s %s", self.cluster, step.action, step.name, said, extra=step.about)
        return begun.completion

    def done(self, planned: PlannedStep) -> Step | None:
        """Return a step that has a key and has succeeded already.

        Raises KeyReused if the key stands for something else, StepInDoubt if nobody knows how that step ended.
        """
        if planned.key is None:
            return None
        for step_id in self._attempts(planned.key):
            begun = self._begun.get(step_id)
            if begun is None:
                return None
            if begun.intent != planned.intent(step_id, begun.intent.deadline):
                raise KeyReused(self.cluster, planned.key)
            if begun.completion is None:
                raise StepInDoubt(self.cluster, planned.key)
            if begun.is_done:
                done = self._as_step(planned, begun.intent)
                done.made, done.was_done = begun.completion.made, True
                return done
        return None

    def _next_id(self, planned: PlannedStep) -> UUID:
        """Return the id of a step to begin: with a key, that of the next attempt at it."""
        if planned.key is None:
            return self._at.new_id()
        return next(step_id for step_id in self._attempts(planned.key) if step_id not in self._begun)

    def _attempts(self, key: str) -> Iterator[UUID]:
        """Yield the ids of the first attempt at a step, the second, and so on."""
        return (uuid5(self.id, f"{attempt} {key}") for attempt in count(1))

    def _as_step(self, planned: PlannedStep, intent: Intent) -> Step:
        return Step(
            self._at.journal_id,
            self.cluster,
            intent.step,
            intent.deadline,
            planned.name,
            action=intent.action,
            operation=self.id,
            kind=intent.kind if isinstance(intent, CreateResource | DeleteResource) else ResourceKind.SERVER,
            server_ids=listed_in(intent),
            user=intent.user if isinstance(intent, CreateResource) else None,
        )


def _not_server(kind: ResourceKind, instead: str) -> ResourceKind:
    if ResourceKind(kind) is ResourceKind.SERVER:
        msg = f"a server has steps of its own: use {instead}"
        raise ValueError(msg)
    return ResourceKind(kind)


def _named(server_ids: Sequence[str]) -> str:
    return ", ".join(server_ids) or "the whole cluster"
