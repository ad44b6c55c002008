"""A stream as its writer sees it: whose append is refused, and that a refused one leaves no trace."""

from typing import Any
from uuid import uuid4

import attrs
import pytest
from builders import create_server, started

from journal.errors import DamagedStream, Fenced, OutOfOrder
from journal.events import ClusterStatus, OperationFinished, OperationOutcome
from journal.memory import MemoryStore
from journal.store import Claim
from journal.stream import Stream
from rollback.testing.clock import SimulatedClock

OPERATION = uuid4()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(SimulatedClock().now)


@pytest.fixture
def stream(store: MemoryStore) -> Stream:
    """A stream with an operation under way, as the conductor has it that runs it."""
    loaded = Stream.load(store, "c-1", SimulatedClock())
    loaded.append(started(), operation=OPERATION, claim=Claim("conductor-a", 0))
    return loaded


def test_a_writer_stays_fenced_even_after_it_has_read_who_fenced_it(store: MemoryStore, stream: Stream) -> None:
    other = Stream.load(store, "c-1", SimulatedClock())
    other.take("compensates", Claim("conductor-b", 1000), operation=OPERATION)
    other.append(OperationFinished(OperationOutcome.FAILED, ClusterStatus.ERROR, "gave up"), operation=OPERATION)
    stream.refresh()
    with pytest.raises(Fenced) as fenced:
        stream.append(create_server(), operation=OPERATION)
    assert (fenced.value.own_epoch, fenced.value.current_epoch, fenced.value.owner) == (1, 2, "conductor-b")


def test_what_cannot_stand_there_is_refused_and_the_stream_goes_on(store: MemoryStore, stream: Stream) -> None:
    with pytest.raises(OutOfOrder):
        stream.append(create_server(), started(), operation=OPERATION)
    stream.append(create_server(), operation=OPERATION)
    assert [event.version for event in store.read("c-1")] == [1, 2]


def test_a_request_for_deletion_is_recorded_whatever_others_append_meanwhile(store: MemoryStore, stream: Stream) -> None:
    behind = Stream.load(store, "c-1", SimulatedClock())
    stream.append(create_server(), operation=OPERATION)
    behind.request_deletion("user", "")
    with pytest.raises(Fenced):
        stream.append_next(create_server(), operation=OPERATION)
    assert [(event.version, event.epoch) for event in store.read("c-1")] == [(1, 1), (2, 1), (3, 2)]


class TornStore(MemoryStore):
    """A store whose guard row says another version or epoch than its events do."""

    torn: dict[str, int]

    def append(self, *args: Any, **kwargs: Any) -> Any:
        for name, head in self._heads.items():
            self._heads[name] = attrs.evolve(head, **self.torn)
        return super().append(*args, **kwargs)


@pytest.mark.parametrize("torn", [{"version": 7}, {"epoch": 7}])
def test_a_guard_row_that_no_event_bears_out_is_damage_and_no_endless_loop(torn: dict[str, int]) -> None:
    store = TornStore(SimulatedClock().now)
    store.torn = {}
    stream = Stream.load(store, "c-1", SimulatedClock())
    stream.append(started(), operation=OPERATION)
    store.torn = torn
    with pytest.raises(DamagedStream, match=r"the stream's head says .*7.*; its events end at version 1, epoch 1"):
        stream.request_deletion("user", "")
    if "version" in torn:
        with pytest.raises(DamagedStream):
            stream.append_next(create_server(), operation=OPERATION)
