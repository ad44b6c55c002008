"""Snapshots save reading a stream's past, and change nothing else: one that does not fit is not used."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import attrs
import pytest
from builders import create_server, started
from histories import documents

from journal.clock import SystemClock
from journal.codec import from_document
from journal.errors import DamagedStream, OutOfOrder
from journal.events import Completion, Event, HoldPlaced, StepOutcome
from journal.memory import MemoryStore
from journal.rules import StreamRules
from journal.snapshot import EVERY, made_by, state_in, taken
from journal.sql.store import open_store
from journal.store import EventStore
from journal.stream import Stream

OPERATION = uuid4()


class Reads(MemoryStore):
    """A store that remembers from where on it was read."""

    def __init__(self) -> None:
        super().__init__()
        self.after: list[int] = []

    def read(self, stream: str, *, after: int = 0) -> Iterator[Event]:
        self.after.append(after)
        return super().read(stream, after=after)


def written(store: EventStore, events: int = EVERY) -> Stream:
    """Write a stream with a snapshot after its last event, and some steps that matter later."""
    stream = Stream(store, "c-1", SystemClock())
    step = create_server()
    stream.append(started(), step, Completion(step.step, StepOutcome.SUCCEEDED, server_id="vm-1"), operation=OPERATION)
    stream.append(*(create_server() for _ in range(events - 3)), operation=OPERATION)
    return stream


def opened(store: EventStore) -> Stream:
    return Stream.load(store, "c-1", SystemClock(), whole=False)


def test_a_long_stream_opens_without_its_past_until_that_is_asked_for() -> None:
    store = Reads()
    whole = written(store)
    whole.append(HoldPlaced("ops", ""))
    store.after.clear()
    stream = opened(store)
    assert store.after == [EVERY - 1, EVERY]
    assert (stream.version, stream.current_epoch) == (EVERY + 1, 1)
    stream.append(create_server(), operation=OPERATION)
    assert [event.version for event in stream.since(EVERY)] == [EVERY + 1, EVERY + 2]
    assert store.after == [EVERY - 1, EVERY]
    assert stream.events == tuple(store.read("c-1"))


def test_what_the_past_forbids_is_refused_by_a_stream_that_did_not_read_it() -> None:
    store = MemoryStore()
    written(store)
    stream = opened(store)
    step = create_server()
    stream.append(step, operation=OPERATION)
    for _ in range(2):
        with pytest.raises(OutOfOrder, match="vm-1 was named"):
            stream.append(Completion(step.step, StepOutcome.SUCCEEDED, server_id="vm-1"), operation=OPERATION)
    stream.append(Completion(step.step, StepOutcome.SUCCEEDED, server_id="vm-2"), operation=OPERATION)


@pytest.mark.parametrize(
    "change",
    [
        {"made_by": "an older text of the rules"},
        {"made_by": made_by('{"version": 1000, "epoch": 1}')},
        {"hash": "0" * 64},
        {"version": EVERY + 7},
        {"data": "{"},
        {"data": '{"version": "x"}'},
    ],
)
def test_a_snapshot_that_does_not_fit_is_not_used_and_replaced(change: dict[str, object]) -> None:
    store = Reads()
    written(store)
    kept = store.snapshot("c-1")
    assert kept is not None
    data = '{"version": 1000, "epoch": 9}'
    wrong = attrs.evolve(kept, **{"data": data, "made_by": made_by(str(change.get("data", data))), **change})  # type: ignore[arg-type]
    store.keep_snapshot(wrong)
    store.after.clear()
    stream = opened(store)
    assert store.after[-1] == 0, "read from the beginning"
    assert stream.current_epoch == 1
    stream.append(HoldPlaced("ops", ""))
    replaced = store.snapshot("c-1")
    assert replaced is not None
    assert (replaced.version, replaced.made_by) == (EVERY + 1, made_by(replaced.data))


def test_a_past_that_was_changed_since_is_damage() -> None:
    store, other = MemoryStore(), MemoryStore()
    written(store)
    stream = opened(store)
    written(other)
    stream._store = other  # noqa: SLF001 (as if the database had been restored from elsewhere)
    with pytest.raises(DamagedStream):
        stream.events  # noqa: B018 (reading it is what is tested)


def test_an_append_stands_even_if_no_snapshot_can_be_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(open_store(f"sqlite:///{tmp_path}/journal.db", upgrade=True)) as store:
        connection = sqlite3.connect(tmp_path / "journal.db")
        connection.execute("DROP TABLE snapshots")
        connection.close()
        written(store)
        assert len(list(store.read("c-1"))) == EVERY
        assert "no snapshot was kept" in caplog.text


@pytest.mark.parametrize("lines", [pytest.param(lines, id=name) for name, lines in documents("plans")])
def test_rules_go_on_from_a_snapshot_as_if_they_had_read_it_all(lines: list[dict[str, object]]) -> None:
    events = [from_document(line) for line in lines]
    stream = events[0].stream
    whole, resumed = StreamRules(), StreamRules()
    for event in (event for event in events if event.stream == stream):
        for state in (whole, resumed):
            state.admit(event)
        assert attrs.evolve(resumed, event_ids=whole.event_ids) == whole
        again = state_in(taken(stream, "", resumed))
        assert again is not None
        resumed = again


def test_without_the_text_of_the_rules_no_snapshot_is_kept_or_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Reads()
    monkeypatch.setattr("journal.snapshot._RULES", None)
    written(store)
    assert store.snapshot("c-1") is None
    monkeypatch.undo()
    opened(store).append(HoldPlaced("ops", ""))
    assert store.snapshot("c-1") is not None
    monkeypatch.setattr("journal.snapshot._RULES", None)
    store.after.clear()
    opened(store)
    assert store.after[-1] == 0
