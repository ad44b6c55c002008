"""What must hold of a simulated world, seen by an oracle that knows which server holds data and reads events as they stand.

It uses neither the fold nor the verdicts: what these say is what it judges.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NoReturn
from uuid import UUID

import attrs

from journal.events import (
    DELETED_STATUSES,
    Completion,
    Configure,
    CreateResource,
    CreateServer,
    Custom,
    Decommission,
    Delete,
    DeletionRequested,
    Event,
    Intent,
    InventoryObserved,
    OperationFinished,
    OperationKind,
    OperationOutcome,
    OperationStarted,
    OperatorResolved,
    ServersAdopted,
    Start,
    StepOutcome,
    Word,
    deleted_by,
    listed_in,
)
from journal.memory import MemoryStore
from journal.steps import Step
from rollback.cloud import Found
from rollback.testing.cloud import SimulatedCloud
from rollback.testing.crashing import CLOUD_CALLS, POLLS

DELETABLE: Final = frozenset({Word.NEW, Word.UNNEEDED})
"""The words of an operator with which something may be deleted that holds data."""

Lose = Callable[[Step, Callable[[], object]], NoReturn]
"""Ends a process while its request for a create is on its way; the request can be made to arrive later."""


class Oracle:
    """Knows what holds data and what was there before, and notes what must not happen as it happens."""

    def __init__(self, cloud: SimulatedCloud, store: MemoryStore) -> None:
        self.cloud = cloud
        self.store = store
        self.breaches: list[str] = []
        """What happened that must not, in words."""
        self.acknowledged: dict[UUID, Event] = {}
        """What an append was told to stand in the journal."""
        self._strangers: dict[str, Found] = {}
        """What was in the cloud before anything began, as it was."""
        self._data: set[str] | None = None
        self._told: set[str] = set()
        """What was seen being deleted although it held data."""

    # ---- data

    def put_data(self, ids: Iterable[str]) -> None:
        """Know of data on servers, or on volumes. Data that no step in the journal told of is noted."""
        for id_ in ids:
            self._data = {*(self._data or ()), id_}
            covered = any(_uses(events, id_) for events in self._streams_with(id_))
            if id_ in self.cloud.servers and not covered:
                self.breaches.append(
                    f"data was put on {id_}, but no step stands in the journal after which it can hold data: begin a configure, "
                    "a start or a custom step with may_hold_data, which covers it, before"
                )

    def take_data(self, ids: Iterable[str]) -> None:
        """Know that data is there no more."""
        self._data = (self._data or set()).difference(ids)

    def holds_data(self, id_: str) -> bool:
        """Whether there is data on something: as it was said or, where nobody says it, as the steps in the journal tell."""
        if self._data is not None:
            return id_ in self._data
        return any(_uses(events, id_) for events in self._streams_with(id_))

    def excuses(self, id_: str) -> bool:
        """Whether what holds data may be deleted: its creation failed, a user asked for it, or an operator spoke of it."""
        return any(_excuses(events, id_) for events in self._streams_with(id_))

    def see_deleted(self, id_: str, by: str) -> None:
        """Note the deletion of what holds data and has no excuse."""
        if id_ in self.shown() and self.holds_data(id_) and not self.excuses(id_):
            self._told.add(id_)
            self.breaches.append(f"{id_} held data and was deleted by {by}")

    def _streams_with(self, id_: str) -> Iterator[list[Event]]:
        return (list(self.store.read(stream)) for stream in self.store.mentioning(id_))

    # ---- what is somebody else's

    def meet_strangers(self) -> None:
        """Take all that is in the cloud for somebody else's, as long as no cluster adopts it."""
        self._strangers = self.shown()

    def shown(self) -> dict[str, Found]:
        """Return all that is in the cloud, by id."""
        there = (server for server in self.cloud.servers.values() if server.status not in DELETED_STATUSES)
        servers = {server.id: server.shown() for server in there}
        return servers | {other.id: other.shown() for other in self.cloud.others.values()}

    def ours(self) -> dict[str, Found]:
        """Return what is in the cloud and is nobody else's."""
        strangers = self._somebody_elses()
        return {id_: found for id_, found in self.shown().items() if id_ not in strangers}

    def _somebody_elses(self) -> dict[str, Found]:
        events = (event for head in self.store.heads() for event in self.store.read(head.stream))
        rows = (row for event in events if isinstance(event.data, ServersAdopted) for row in event.data.servers)
        adopted = {row.server_id for row in rows}
        return {id_: found for id_, found in self._strangers.items() if id_ not in adopted}

    # ---- what must hold at any time

    def lost(self) -> Iterator[str]:
        """Yield what was lost or touched that must not be."""
        shown = self.shown()
        for id_, stranger in self._somebody_elses().items():
            if shown.get(id_) != stranger:
                yield f"{id_} belongs to somebody else, and was {'changed' if id_ in shown else 'deleted'}"
        for id_ in sorted(self._data or ()):
            if id_ not in shown and id_ not in self._told and not self.excuses(id_):
                yield f"{id_} held data, and is gone"
        stored = {event.id: event for head in self.store.heads() for event in self.store.read(head.stream)}
        for event in self.acknowledged.values():
            if stored.get(event.id) != event:
                yield f"version {event.version} of {event.stream} was acknowledged, and is not in the journal any more"
        yield from (f"{id_} was deleted although a server used it" for id_ in self.cloud.torn)


@attrs.define
class Watch:
    """What one process does, as the oracle sees it. `who`: the process, in words."""

    oracle: Oracle
    who: str
    lose: Lose | None = None
    """What becomes of the next request for a create, if it is not answered."""
    _open: dict[UUID, Intent] = attrs.field(factory=dict)
    """The steps that the process has begun and not ended."""
    _untold: tuple[Step, str] | None = None
    """The last create, and what it made."""

    def store(self, store: Any) -> Any:
        """Return the store, watched."""
        return _Watched(store, {"append": self._append})

    def cloud(self, cloud: Any) -> Any:
        """Return the cloud, watched."""
        looks = dict.fromkeys(CLOUD_CALLS | POLLS, self._look)
        acts: dict[str, Callable[..., Any]] = {
            "create_server": self._create,
            "create_resource": self._create,
            "delete": self._roll_back,
            "delete_server": self._delete,
            "delete_resource": self._delete_resource,
        }
        return _Watched(cloud, {**looks, **acts})

    def lose_answer(self) -> None:
        """Know that the answer to the last call does not reach the process."""
        self._untold = None

    def _look(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._expect_told()
        return call(*args, **kwargs)

    def _append(self, call: Callable[..., tuple[Event, ...]], *args: Any, **kwargs: Any) -> tuple[Event, ...]:
        self._expect_told()
        stored = call(*args, **kwargs)
        for event in stored:
            self.oracle.acknowledged[event.id] = event
            match event.data:
                case Completion(step=step):
                    self._open.pop(step, None)
                case data if isinstance(data, Intent):
                    self._open[data.step] = data
                case _:
                    pass
        return stored

    def _create(self, call: Callable[..., str], step: Step, **attributes: Any) -> str:
        self._expect_told()
        is_in_step = step.id in self._open
        if not is_in_step:
            self._note(
                f"create of {step.name!r} was sent outside its step: no intent of it was unfinished in the journal. Create "
                "in the body of a step, and one thing in each"
            )
        if self.lose is not None:
            self.lose(step, lambda: call(step, **attributes))
        made = call(step, **attributes)
        self._untold = (step, made) if is_in_step else None
        return made

    def _delete_resource(self, call: Callable[..., Any], kind: Any, id_: str) -> Any:
        return self._delete(lambda id_: call(kind, id_), id_)

    def _roll_back(self, call: Callable[..., Any], id_: str, *args: Any, **kwargs: Any) -> Any:
        return self._delete(call, id_, *args, by=f"the rollback of {self.who}", **kwargs)

    def _delete(self, call: Callable[..., Any], id_: str, *args: Any, by: str = "", **kwargs: Any) -> Any:
        self._expect_told()
        if not any(isinstance(intent, Delete) and deleted_by(intent) == id_ for intent in self._open.values()):
            self._note(f"delete of {id_} was sent outside a step: no intent of it was unfinished in the journal")
        self.oracle.see_deleted(id_, by or self.who)
        return call(id_, *args, **kwargs)

    def _expect_told(self) -> None:
        """Note a create whose answer the step was not told before the process went on."""
        if self._untold is None:
            return
        (step, made), self._untold = self._untold, None
        if step.made != made:
            self._note(
                f"create of {step.name!r} made {made}, and step.created({made!r}) was not the next thing to happen: until "
                "then nothing but its marks leads to it"
            )

    def _note(self, what: str) -> None:
        self.oracle.breaches.append(what)


class _Watched:
    """A port some of whose methods are called through others."""

    def __init__(self, port: Any, through: Mapping[str, Callable[..., Any]]) -> None:
        self._port = port
        self._through = through

    def __getattr__(self, name: str) -> Any:
        found, through = getattr(self._port, name), self._through.get(name)
        if through is None:
            return found
        return lambda *args, **kwargs: through(found, *args, **kwargs)


def step_that_made(events: Iterable[Event], id_: str) -> UUID | None:
    """Return the create step that made something, as its completion or a sighting tells."""
    for event in events:
        match event.data:
            case Completion(step=step, made=made) if made == id_:
                return step
            case InventoryObserved(servers=servers, resources=resources):
                seen = {server.server_id: server.step for server in servers}
                seen |= {resource.resource_id: resource.step for resource in resources}
                if seen.get(id_) is not None:
                    return seen[id_]
            case _:
                pass
    return None


def _uses(events: Iterable[Event], id_: str) -> bool:
    """Whether data may have come to something by a step, and no decommission has moved it away since."""
    events = tuple(events)
    made_by = step_that_made(events, id_)
    used, is_there = False, False
    going: set[UUID] = set()
    for event in events:
        match event.data:
            case CreateServer(step=step) if step == made_by:
                is_there = True
            case ServersAdopted(servers=servers) if any(row.server_id == id_ for row in servers):
                is_there = True
            case (Configure() | Start() | Custom(may_hold_data=True)) as use if id_ in use.server_ids or (
                is_there and not use.server_ids
            ):
                used = True
            case Decommission() as begun if id_ in listed_in(begun):
                going.add(begun.step)
            case Completion(step=step, outcome=StepOutcome.SUCCEEDED) if step in going:
                used = False
            case _:
                pass
    return used


def _excuses(events: Iterable[Event], id_: str) -> bool:
    events = tuple(events)
    made_by = step_that_made(events, id_)
    kinds: dict[UUID | None, OperationKind] = {}
    failed: set[UUID | None] = set()
    made_in: UUID | None = None
    for event in events:
        match event.data:
            case OperationStarted(kind=OperationKind.DELETE) | DeletionRequested():
                return True
            case OperatorResolved(about=about, verdict=word) if about == id_ and word in DELETABLE:
                return True
            case OperationStarted(kind=kind):
                kinds[event.operation] = kind
                failed.add(event.operation)
            case OperationFinished(outcome=OperationOutcome.SUCCEEDED):
                failed.discard(event.operation)
            case CreateServer(step=step) | CreateResource(step=step) if step == made_by:
                made_in = event.operation
            case _:
                pass
    return kinds.get(made_in) is OperationKind.CREATE and made_in in failed
