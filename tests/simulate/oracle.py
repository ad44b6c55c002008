"""Who knows the truth of a simulated world, and tells what must not be: independent of the code that decides.

It sees what was really put on servers, what really happened in the cloud, and what was appended; it asks neither
verdicts nor plans what may be deleted.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import attrs

from journal.events import (
    Completion,
    Configure,
    CreateServer,
    Custom,
    Decommission,
    DeleteServer,
    DeletionRequested,
    Event,
    HoldPlaced,
    HoldReleased,
    OperationFinished,
    OperationKind,
    OperationOutcome,
    OperationStarted,
    OperatorResolved,
    OwnershipTaken,
    PlanAction,
    Stage,
    Start,
    StepOutcome,
    VerdictName,
    Word,
)
from projections.fold import fold
from rollback.plan import plan

UNSAFE: Final = "unsafe"
LEAK: Final = "leak"
NO_END: Final = "no end"
LOST: Final = "lost"
TWO_OWNERS: Final = "two owners"
FOREIGN: Final = "foreign"
DELETION: Final = "deletion"
POLICY: Final = "policy"
UNTRUE: Final = "untrue"
BUG: Final = "bug"
KINDS: Final = {
    UNSAFE: "1: a server that may hold data is to be deleted",
    LEAK: "2: a server is there that nobody accounts for, or that should have been deleted",
    NO_END: "3: compensation does not come to an end",
    LOST: "4: what was acknowledged is not there, or there twice",
    TWO_OWNERS: "5: two conductors act for one cluster",
    FOREIGN: "6: what is not certain to be ours is to be deleted",
    DELETION: "7: a user's deletion was not carried out",
    POLICY: "the verdict table: it says otherwise",
    UNTRUE: "the journal, its index or a record says what is not so",
    BUG: "an error of a kind that nothing raises on purpose",
}
"""The kinds of breaches: the invariants of the design by their numbers, and what is wrong beside them."""
GOOD_TO_DELETE = (Word.NEW, Word.UNNEEDED)
KEPT = (VerdictName.IN_SERVICE, VerdictName.UNSAFE, VerdictName.FOREIGN)
INTENTS = (CreateServer, DeleteServer, Decommission, Configure, Start, Custom)


@attrs.define
class Run:
    """One operation, as it was appended."""

    kind: OperationKind
    outcome: OperationOutcome | None = None
    stages: set[Stage] = attrs.field(factory=set)
    created: set[str] = attrs.field(factory=set)
    """What its creates named as made."""
    covers_all: bool = False


@attrs.define
class Cluster:
    """What is true of one cluster."""

    owner: Any = None
    """The process that took the stream last."""
    deletion: bool = False
    deletion_was_asked: bool = False
    was_abandoned: bool = False
    held: bool = False
    words: dict[str, Word] = attrs.field(factory=dict)
    members: set[str] = attrs.field(factory=set)
    """The servers that operations which succeeded made."""
    runs: dict[UUID, Run] = attrs.field(factory=dict)
    steps: dict[UUID, tuple[UUID, Any]] = attrs.field(factory=dict)
    """Operation and intent of each step."""
    open_steps: set[UUID] = attrs.field(factory=set)
    acknowledged: list[Event] = attrs.field(factory=list)

    @property
    def open_runs(self) -> list[Run]:
        """The operations that have not ended."""
        return [run for run in self.runs.values() if run.outcome is None]


@attrs.define
class Scale:
    """One scale as its conductor means it, whatever stands in the journal."""

    victims: frozenset[str]
    decommissioned: set[str] = attrs.field(factory=set)
    """Those whose data was moved away."""


class Oracle:
    """The truth of one world."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.breaches: list[str] = []
        self.clusters: defaultdict[str, Cluster] = defaultdict(Cluster)
        self.data: set[str] = set()
        """The servers that hold data."""
        self.had_data: set[str] = set()
        self.scales: dict[str, Scale] = {}
        self.made: dict[str, UUID] = {}
        """By server: the step whose request made it."""
        self.foreign: set[str] = set()
        """What nobody here may touch."""
        self.marks_changed: dict[str, tuple[Any, str]] = {}
        self.were_unmarked: set[str] = set()
        """The servers whose marks somebody changed for a while."""
        self.restored: set[str] = set()
        self.journaled: set[tuple[str, str]] = set()
        """The processes, with the servers whose deletes they put into the journal."""

    def breach(self, kind: str, what: str) -> None:
        """Note that something happened which must not; `kind` is one of `KINDS`."""
        self.breaches.append(f"{kind}: {what}")

    # ---- what conductors do to servers

    def puts_data(self, servers: Sequence[str]) -> None:
        """Know that servers hold data from now on."""
        there = [id_ for id_ in servers if id_ in self.world.cloud.servers]
        self.data.update(there)
        self.had_data.update(there)
        for cluster in self.clusters.values():
            for id_ in there:
                if cluster.words.get(id_) in GOOD_TO_DELETE:
                    del cluster.words[id_]

    def moves_data(self, cluster: str, servers: Sequence[str]) -> None:
        """Know that the data of servers is elsewhere."""
        self.data.difference_update(servers)
        if cluster in self.scales:
            self.scales[cluster].decommissioned.update(servers)

    # ---- what is appended

    def appended(self, process: Any, events: Sequence[Event], claim: Any) -> None:
        """See what was recorded, and judge it."""
        stream = events[0].stream
        cluster = self.clusters[stream]
        known = len(cluster.acknowledged)
        for event in events:
            if event.version <= known:
                continue  # appended again, because nobody knew
            cluster.acknowledged.append(event)
            if isinstance(event.data, OwnershipTaken | OperationStarted | DeletionRequested):
                cluster.owner = process
            elif claim is not None and cluster.owner is not process:
                self.breach(TWO_OWNERS, f"{process.name} appends {type(event.data).__name__} to {stream}, which another one took")
            self._learn(stream, cluster, event, process)
        self._check_index(stream, cluster)

    def _check_index(self, stream: str, cluster: Cluster) -> None:
        indexed = {step.step for step in self.world.store.unfinished_steps(stream)}
        if indexed != cluster.open_steps:
            self.breach(
                UNTRUE, f"the index of unfinished steps of {stream} is not what was appended: {indexed ^ cluster.open_steps}"
            )

    def _learn(self, stream: str, cluster: Cluster, event: Event, process: Any) -> None:
        match event.data:
            case OperationStarted(kind=kind):
                assert event.operation is not None
                cluster.runs[event.operation] = Run(kind)
                if kind is OperationKind.SCALE:
                    self.scales[stream] = Scale(frozenset(process.victims))
                if kind is OperationKind.DELETE:
                    cluster.deletion = cluster.deletion_was_asked = True
            case OperationFinished():
                self._end(stream, cluster, event.data)
            case DeletionRequested():
                cluster.deletion = cluster.deletion_was_asked = True
            case HoldPlaced() | HoldReleased():
                cluster.held = isinstance(event.data, HoldPlaced)
            case OperatorResolved(server_id=str(id_), verdict=word):
                cluster.words[id_] = word
            case Completion():
                self._complete(stream, cluster, event.data)
            case intent if isinstance(intent, INTENTS):
                self._begin(stream, cluster, event, process)
            case _:
                pass

    def _begin(self, stream: str, cluster: Cluster, event: Event, process: Any) -> None:
        intent: Any = event.data
        assert event.operation is not None
        cluster.steps[intent.step] = event.operation, intent
        cluster.open_steps.add(intent.step)
        run = cluster.runs[event.operation]
        run.stages.add(intent.stage)
        if isinstance(intent, Configure | Start | Custom) and not intent.server_ids:
            run.covers_all = True
        if isinstance(intent, DeleteServer):
            self.journaled.add((process.name, intent.server_id))
            if intent.stage is Stage.ROLLBACK:
                self._judge(stream, cluster, intent.server_id, process)

    def _complete(self, stream: str, cluster: Cluster, completion: Completion) -> None:
        cluster.open_steps.discard(completion.step)
        operation, intent = cluster.steps[completion.step]
        if isinstance(intent, CreateServer) and completion.outcome is StepOutcome.SUCCEEDED and completion.server_id is not None:
            cluster.runs[operation].created.add(completion.server_id)
        if isinstance(intent, CreateServer) and completion.outcome is StepOutcome.ABSENT:
            self._check_absence(stream, intent)
        if isinstance(intent, DeleteServer):
            said_gone = completion.outcome is not StepOutcome.FAILED and intent.server_id not in self.restored
            if said_gone and self.world.is_there(intent.server_id):
                self.breach(UNTRUE, f"{intent.server_id} of {stream} is called deleted, and is there")

    def _check_absence(self, stream: str, create: CreateServer) -> None:
        """Check that nothing is there of a create that is called absent, but what landed after its deadline."""
        for id_ in (id_ for id_, step in self.made.items() if step == create.step and id_ not in self.marks_changed):
            if self.world.is_there(id_) and self.world.cloud.servers[id_].created_at <= create.deadline:
                self.breach(UNTRUE, f"{create.name} of {stream} is called absent, and {id_} is there")

    def _end(self, stream: str, cluster: Cluster, end: OperationFinished) -> None:
        for run in cluster.open_runs:
            run.outcome = end.outcome
            if end.outcome is OperationOutcome.SUCCEEDED:
                cluster.members |= run.created
        cluster.open_steps.clear()
        self.scales.pop(stream, None)
        if end.outcome is OperationOutcome.ABANDONED:
            cluster.was_abandoned = True
            cluster.deletion = False

    # ---- what may be deleted

    def _judge(self, stream: str, cluster: Cluster, id_: str, process: Any) -> None:
        """Judge a delete that a compensation is about to ask for."""
        if cluster.held:
            self.breach(POLICY, f"a hold stands, and {id_} of {stream} is to be deleted")
        changed_at, how = self.marks_changed.get(id_, (None, ""))
        was_shown = self.world.is_there(id_) and not self.world.cloud.servers[id_].cell_is_down
        if changed_at is not None and changed_at < process.listed_at and was_shown:
            word_suffices = how == "removed" and cluster.words.get(id_) in GOOD_TO_DELETE
            if not word_suffices:
                self.breach(FOREIGN, f"the marks of {id_} were {how}, and it is to be deleted")
        if cluster.deletion or cluster.words.get(id_) in GOOD_TO_DELETE:
            return
        if any(run.kind is OperationKind.CREATE for run in cluster.open_runs):
            return  # it never was the user's
        if id_ in self.data:
            self.breach(UNSAFE, f"{id_} of {stream} holds data, and is to be deleted")
        scale = self.scales.get(stream)
        if scale is not None and id_ in scale.victims:
            if not scale.victims <= scale.decommissioned:
                self.breach(POLICY, f"{id_} of {stream} is a victim, decommissioning is not complete, and it is to be deleted")
        elif id_ in cluster.members:
            self.breach(UNSAFE, f"{id_} of {stream} is in service, and is to be deleted")

    def deletes(self, process: Any, id_: str) -> None:
        """See a DELETE arrive at the cloud."""
        if (process.name, id_) not in self.journaled:
            self.breach(UNTRUE, f"{process.name} deletes {id_}, and no intent of it stands in the journal")
        if id_ in self.foreign:
            self.breach(FOREIGN, f"{id_} is nobody's here, and is deleted")

    # ---- at the end

    def check_end(self) -> None:
        """Judge the world once faults have stopped and everything was recovered."""
        for stream, cluster in self.clusters.items():
            events = list(self.world.store.read(stream))
            if events[: len(cluster.acknowledged)] != cluster.acknowledged:
                self.breach(LOST, f"an acknowledged event of {stream} is lost, or there twice")
            history = fold(events)
            made = plan(history)
            if history.unfinished is not None:
                self.breach(NO_END, f"the {history.unfinished.kind} of {stream} is unfinished")
            if made.having(PlanAction.FIND):
                self.breach(NO_END, f"{stream} has something in doubt")
            accounted = {verdict.id for verdict in made.verdicts if verdict.verdict in KEPT} | self.world.reported | self.restored
            for id_ in self.world.marked(stream):
                if id_ not in accounted:
                    self.breach(LEAK, f"{id_} carries the marks of {stream}, and is not accounted for")
            for what in self._not_gone(stream, cluster):
                self.breach(LEAK, what)
            record = self.world.records[stream]
            if record.there and record.told and record.told[-1][0] is not made.cluster_status:
                self.breach(UNTRUE, f"{stream} is {made.cluster_status}, and its record says {record.told[-1][0]}")
            self._check_deletion(stream, cluster, history)

    def _not_gone(self, stream: str, cluster: Cluster) -> Iterator[str]:
        """Yield what is there although it should have been deleted."""
        if cluster.held:
            return
        for id_ in self.world.marked(stream):
            step = self.made.get(id_)
            if step not in cluster.steps or id_ in cluster.words or id_ in self.restored | self.foreign | self.were_unmarked:
                continue
            operation, _ = cluster.steps[step]
            run = cluster.runs[operation]
            may_be_used = id_ in self.had_data or any(each.covers_all for each in cluster.runs.values())
            if run.outcome is OperationOutcome.ABANDONED or (may_be_used and id_ not in run.created):
                continue
            if run.outcome is OperationOutcome.SUCCEEDED:
                if id_ not in run.created:
                    yield f"{id_} of {stream} was made beside what its operation wanted, and is there"
            elif run.kind is OperationKind.CREATE:
                yield f"{id_} of {stream} is there, and the cluster's creation failed"
            elif not may_be_used and not run.stages & {Stage.CONFIGURE, Stage.START}:
                yield f"{id_} of {stream} is new, its scale failed in infrastructure, and it is there"

    def _check_deletion(self, stream: str, cluster: Cluster, history: Any) -> None:
        if not cluster.deletion_was_asked or cluster.was_abandoned or cluster.held:
            return
        keeps = [word for word in cluster.words.values() if word not in GOOD_TO_DELETE]
        if history.deleted is None and not keeps and not any(id_ in self.marks_changed for id_ in self.world.there(stream)):
            self.breach(DELETION, f"the user deleted {stream}, and it has not ended as Deleted")
