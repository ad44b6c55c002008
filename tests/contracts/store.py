"""What every event store must do. Each engine subclasses it with a fixture `store`."""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import uuid4

import attrs
import pytest
from builders import create_server, events, started

from journal.codec import FIRST_HASH, digest
from journal.errors import EventIdReused, Fenced, JournalRegressed, OwnerAlive, StreamArchived, VersionConflict
from journal.events import (
    ClusterStatus,
    Completion,
    Data,
    DeletionRequested,
    Event,
    HoldPlaced,
    OperationFinished,
    OperationOutcome,
    OwnershipTaken,
    StepOutcome,
)
from journal.snapshot import Snapshot
from journal.store import Claim, EventStore

OPERATION = uuid4()
LONG = Claim("conductor-a", 1000)


def begin(store: EventStore, stream: str = "c-1", claim: Claim | None = None, *more: Data) -> tuple[Event, ...]:
    """Append the start of an operation to a new stream."""
    operation = OPERATION if stream == "c-1" else uuid4()
    first = events(started(), *more, stream=stream, operation=operation)
    return store.append(first, previous_hash=FIRST_HASH, expected_epoch=1, claim=claim)


def follow(
    store: EventStore, before: Sequence[Event], *data: Data, epoch: int = 1, claim: Claim | None = None
) -> tuple[Event, ...]:
    """Append after these events, under the epoch of the last of them."""
    last = before[-1]
    assert last.hash is not None
    new = events(*data, stream=last.stream, after=last.version, epoch=epoch, operation=last.operation, previous=last.hash)
    return store.append(new, previous_hash=last.hash, expected_epoch=last.epoch, claim=claim)


class StoreContract:
    """The promises of `journal.store.EventStore`."""

    @pytest.mark.parametrize("text", ["plain", 'with "quotes"', "back\\slash", "per%cent_", "grün", "tab\t"])
    def test_streams_are_found_by_what_their_events_say(self, store: EventStore, text: str) -> None:
        begin(store, "c-1", None, HoldPlaced("ops", f"because of {text}!"))
        begin(store, "c-2", None, HoldPlaced("ops", "because of something"))
        assert store.mentioning(text) == ["c-1"]
        assert store.mentioning(f"{text}?") == []

    def test_what_was_appended_is_read_back_in_order_and_chained(self, store: EventStore) -> None:
        first = begin(store)
        second = follow(store, first, create_server(), HoldPlaced("ops", "wait"))
        read = list(store.read("c-1"))
        assert read == [*first, *second]
        assert [event.version for event in read] == [1, 2, 3]
        previous = FIRST_HASH
        for document in store.documents("c-1"):
            assert document["hash"] == digest(previous, document)
            previous = document["hash"]

    def test_reading_starts_after_a_version_and_an_unknown_stream_is_empty(self, store: EventStore) -> None:
        first = begin(store)
        second = follow(store, first, create_server())
        assert list(store.read("c-1", after=1)) == list(second)
        assert list(store.read("c-1", after=2)) == []
        assert list(store.read("nope")) == []
        assert store.head("nope") is None

    def test_the_head_says_version_hash_epoch_and_operation(self, store: EventStore) -> None:
        first = begin(store)
        head = store.head("c-1")
        assert head is not None
        assert (head.version, head.hash, head.epoch, head.operation) == (1, first[-1].hash, 1, OPERATION)
        assert (head.owner, head.owner_alive) == (None, False)
        follow(store, first, OperationFinished(OperationOutcome.SUCCEEDED, ClusterStatus.ACTIVE, ""))
        ended = store.head("c-1")
        assert ended is not None
        assert ended.operation is None

    def test_heads_are_those_of_all_streams(self, store: EventStore) -> None:
        for stream in ("b", "a", "c"):
            begin(store, stream)
        assert [head.stream for head in store.heads()] == ["a", "b", "c"]

    def test_an_append_to_a_version_that_is_taken_is_refused_and_changes_nothing(self, store: EventStore) -> None:
        first = begin(store)
        second = follow(store, first, create_server())
        with pytest.raises(VersionConflict) as refused:
            follow(store, first, create_server("w2"))
        assert (refused.value.stream, refused.value.expected, refused.value.actual) == ("c-1", 1, 2)
        assert list(store.read("c-1")) == [*first, *second]
        assert len(list(store.unfinished_steps())) == 1

    def test_two_beginnings_of_one_stream_conflict(self, store: EventStore) -> None:
        begin(store)
        with pytest.raises(VersionConflict):
            begin(store)

    def test_appending_the_same_events_again_changes_nothing(self, store: EventStore) -> None:
        first = begin(store)
        second = follow(store, first, create_server())
        follow(store, second, HoldPlaced("ops", ""))
        assert first[0].hash is not None
        assert store.append(second, previous_hash=first[0].hash, expected_epoch=1) == second
        assert len(list(store.read("c-1"))) == 3

    def test_an_event_id_that_stands_for_something_else_is_refused(self, store: EventStore) -> None:
        first = begin(store)
        reused = attrs.evolve(events(started(), stream="c-2", operation=uuid4())[0], id=first[0].id)
        with pytest.raises(EventIdReused) as refused:
            store.append([reused], previous_hash=FIRST_HASH, expected_epoch=1)
        assert refused.value.event_id == first[0].id
        assert store.head("c-2") is None

    def test_a_store_behind_what_it_acknowledged_has_lost_history(self, store: EventStore) -> None:
        first = begin(store)
        lost = events(create_server(), after=1, operation=OPERATION, previous=first[0].hash or "")
        with pytest.raises(JournalRegressed):
            follow(store, lost, HoldPlaced("ops", ""))

    def test_a_history_other_than_the_one_acknowledged_is_refused(self, store: EventStore) -> None:
        begin(store)
        other = events(started(), operation=OPERATION)
        with pytest.raises(JournalRegressed):
            follow(store, other, HoldPlaced("ops", ""))

    def test_version_epoch_and_hash_of_the_head_must_each_be_the_expected(self, store: EventStore) -> None:
        first = begin(store)
        head = first[-1].hash
        assert head is not None
        gap = events(create_server(), after=2, operation=OPERATION, previous=head)
        with pytest.raises(JournalRegressed):
            store.append(gap, previous_hash=head, expected_epoch=1)
        next_one = events(create_server(), after=1, epoch=2, operation=OPERATION, previous=head)
        with pytest.raises(JournalRegressed):
            store.append(next_one, previous_hash=head, expected_epoch=2)
        with pytest.raises(Fenced):
            store.append(next_one, previous_hash=head, expected_epoch=0)
        with pytest.raises(JournalRegressed):
            store.append(next_one, previous_hash=FIRST_HASH, expected_epoch=1)
        assert list(store.read("c-1")) == list(first)

    def test_a_stale_epoch_is_fenced(self, store: EventStore) -> None:
        first = begin(store, claim=Claim("conductor-a", 0))
        taken = follow(store, first, OwnershipTaken("conductor-b", "lease ran out"), epoch=2, claim=Claim("conductor-b", 1000))
        with pytest.raises(Fenced) as fenced:
            follow(store, first, create_server())
        assert (fenced.value.own_epoch, fenced.value.current_epoch, fenced.value.owner) == (1, 2, "conductor-b")
        assert list(store.read("c-1")) == [*first, *taken]

    def test_a_living_owner_is_not_taken_over(self, store: EventStore) -> None:
        first = begin(store, claim=LONG)
        head = store.head("c-1")
        assert head is not None
        assert head.owner_alive
        with pytest.raises(OwnerAlive) as refused:
            follow(store, first, OwnershipTaken("conductor-b", ""), epoch=2, claim=Claim("conductor-b", 1000))
        assert refused.value.owner == "conductor-a"
        after = store.head("c-1")
        assert after is not None
        assert attrs.evolve(after, read_at=head.read_at) == head

    def test_the_owner_renews_and_gives_up_its_lease(self, store: EventStore) -> None:
        first = begin(store, claim=Claim("conductor-a", 0))
        assert not store.head("c-1").owner_alive  # type: ignore[union-attr]  # it exists
        store.renew("c-1", LONG, epoch=1)
        assert store.head("c-1").owner_alive  # type: ignore[union-attr]  # it exists
        store.release("c-1", "conductor-a", epoch=1)
        head = store.head("c-1")
        assert head is not None
        assert (head.owner, head.owner_alive) == (None, False)
        follow(store, first, OwnershipTaken("conductor-b", ""), epoch=2, claim=Claim("conductor-b", 1000))
        store.release("c-1", "conductor-a", epoch=1)
        assert store.head("c-1").owner == "conductor-b"  # type: ignore[union-attr]  # it exists
        with pytest.raises(Fenced):
            store.renew("c-1", LONG, epoch=1)

    def test_a_request_for_deletion_leaves_nobody_as_owner(self, store: EventStore) -> None:
        first = begin(store, claim=LONG)
        follow(store, first, DeletionRequested("user", ""), epoch=2)
        head = store.head("c-1")
        assert head is not None
        assert (head.owner, head.epoch) == (None, 2)

    def test_unfinished_steps_come_by_stream_and_version(self, store: EventStore) -> None:
        for stream in ("b", "a", "C"):
            begin(store, stream, None, create_server("w2"), create_server("w1"))
        found = [(step.stream, step.version, step.subject) for step in store.unfinished_steps()]
        assert found == [(stream, *each) for stream in ("C", "a", "b") for each in ((2, "w2"), (3, "w1"))]
        assert [step.version for step in store.unfinished_steps("a")] == [2, 3]

    def test_the_index_holds_intents_until_their_completion(self, store: EventStore) -> None:
        one, two = create_server("w1"), create_server("w2")
        first = begin(store, "c-1", None, one, two)
        assert [(s.stream, s.version, s.subject, s.step) for s in store.unfinished_steps()] == [
            ("c-1", 2, "w1", one.step),
            ("c-1", 3, "w2", two.step),
        ]
        second = follow(store, first, Completion(one.step, StepOutcome.SUCCEEDED, "id-1"))
        (left,) = store.unfinished_steps()
        assert (left.step, left.operation, left.action, left.stage) == (two.step, OPERATION, "create_server", "infrastructure")
        assert (left.deadline, left.recorded_at) == (two.deadline, first[2].recorded_at)
        follow(store, second, OperationFinished(OperationOutcome.FAILED, ClusterStatus.ERROR, "gave up"))
        assert list(store.unfinished_steps()) == []

    def test_what_is_appended_takes_room(self, store: EventStore) -> None:
        begin(store)
        assert store.size_bytes() > 200

    def test_of_many_that_append_at_once_one_wins_each_version(self, store: EventStore) -> None:
        first = begin(store)
        outcomes: list[str] = []

        def contend() -> None:
            try:
                follow(store, first, create_server())
            except VersionConflict:
                outcomes.append("refused")
            else:
                outcomes.append("won")

        threads = [threading.Thread(target=contend) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["refused"] * 7 + ["won"]
        assert [event.version for event in store.read("c-1")] == [1, 2]
        assert len(list(store.unfinished_steps())) == 1

    def test_many_threads_append_to_streams_of_their_own(self, store: EventStore) -> None:
        def work(stream: str) -> None:
            last = begin(store, stream)
            for number in range(10):
                last = follow(store, last, create_server(f"w{number}"))

        threads = [threading.Thread(target=work, args=(f"s-{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [head.version for head in store.heads()] == [11] * 4
        assert len(list(store.unfinished_steps())) == 40

    def test_heads_changed_since_a_time_are_those_appended_to_since(self, store: EventStore) -> None:
        first = begin(store, "a")
        begin(store, "b")
        for head in store.heads():
            before = head.changed_at
        assert [head.stream for head in store.heads(changed_since=before)][-1:] == ["b"]
        after = before + timedelta(microseconds=10)
        wait_until_after(store, after)
        assert list(store.heads(changed_since=after)) == []
        follow(store, first, create_server())
        (changed,) = store.heads(changed_since=after)
        assert (changed.stream, changed.version) == ("a", 2)
        assert before < changed.changed_at <= changed.read_at

    def test_an_archived_stream_keeps_its_name_and_comes_back_as_it_was(self, store: EventStore) -> None:
        history = [*finished(store, "c-1")]
        begin(store, "c-2")
        head = store.head("c-1")
        assert head is not None
        store.archive(head, "c-1.jsonl")
        store.archive(head, "c-1.jsonl")
        assert [head.stream for head in store.heads()] == ["c-2"]
        (archived,) = store.archived()
        assert (archived.stream, archived.version, archived.archived_to) == ("c-1", 2, "c-1.jsonl")
        assert list(store.read("c-1")) == []
        with pytest.raises(StreamArchived, match=r"c-1\.jsonl"):
            follow(store, history, HoldPlaced("ops", ""))
        with pytest.raises(StreamArchived):
            begin(store, "c-1")
        with pytest.raises(StreamArchived):
            store.archive(head, "elsewhere.jsonl")
        store.restore("c-1", lambda: history)
        store.restore("c-1", lambda: history)
        assert [*store.read("c-1"), *store.archived()] == history
        follow(store, history, HoldPlaced("ops", ""))

    def test_an_append_that_is_tried_again_after_its_stream_was_archived_was_recorded(self, store: EventStore) -> None:
        started, ended = finished(store, "c-1")
        head = store.head("c-1")
        assert head is not None
        store.archive(head, "c-1.jsonl")
        assert store.append([ended], previous_hash=str(started.hash), expected_epoch=1) == (ended,)
        with pytest.raises(StreamArchived):
            store.append([started], previous_hash="0" * 64, expected_epoch=1)

    def test_what_is_settled_stays_so_until_the_next_append(self, store: EventStore) -> None:
        history = begin(store, "c-1")
        begin(store, "c-2")
        store.settle("c-1", 7)
        assert [head.stream for head in store.heads(unsettled=True)] == ["c-1", "c-2"]
        store.settle("c-1", 1)
        store.settle("nobody", 1)
        assert [head.stream for head in store.heads(unsettled=True)] == ["c-2"]
        assert [head.is_settled for head in store.heads()] == [True, False]
        follow(store, history, HoldPlaced("ops", ""))
        assert [(head.stream, head.settled_version) for head in store.heads(unsettled=True)] == [("c-1", 1), ("c-2", 0)]
        store.settle("c-1", 2)
        assert [head.stream for head in store.heads(unsettled=True)] == ["c-2"]

    def test_who_tells_of_the_past_has_it_told_again(self, store: EventStore) -> None:
        follow(store, begin(store, "c-1"), HoldPlaced("ops", ""))
        store.settle("c-1", 2)
        store.settle("c-1", 1)
        assert [head.stream for head in store.heads(unsettled=True)] == ["c-1"]

    def test_only_a_finished_stream_that_nobody_owns_is_archived_as_it_was_seen(self, store: EventStore) -> None:
        running = begin(store, "c-1")
        head = store.head("c-1")
        assert head is not None
        with pytest.raises(VersionConflict):
            store.archive(head, "c-1.jsonl")
        ended = follow(store, running, OperationFinished(OperationOutcome.SUCCEEDED, ClusterStatus.ACTIVE, ""), claim=LONG)
        with pytest.raises(OwnerAlive):
            store.archive(attrs.evolve(head, version=2, hash=ended[-1].hash), "c-1.jsonl")
        store.release("c-1", LONG.owner, epoch=1)
        with pytest.raises(VersionConflict):
            store.archive(head, "c-1.jsonl")
        with pytest.raises(VersionConflict):
            store.archive(attrs.evolve(head, hash=ended[-1].hash), "c-1.jsonl")
        with pytest.raises(JournalRegressed):
            store.archive(attrs.evolve(head, version=2), "c-1.jsonl")
        assert list(store.read("c-1")) == [*running, *ended]

    def test_what_is_put_back_must_be_what_was_archived(self, store: EventStore) -> None:
        history = finished(store, "c-1")
        head = store.head("c-1")
        assert head is not None
        store.archive(head, "c-1.jsonl")
        with pytest.raises(JournalRegressed):
            store.restore("c-1", lambda: history[:1])
        with pytest.raises(JournalRegressed):
            store.restore("c-1", list)
        assert [head.stream for head in store.archived()] == ["c-1"]

    def test_the_last_snapshot_of_each_stream_is_kept(self, store: EventStore) -> None:
        first, other, last = (Snapshot("c-1", version, "0" * 64, "me", "{}") for version in (7, 8, 9))
        other = attrs.evolve(other, stream="c-2")
        for snapshot in (first, other, last):
            store.keep_snapshot(snapshot)
        assert [store.snapshot(stream) for stream in ("c-1", "c-2", "c-3")] == [last, other, None]


def finished(store: EventStore, stream: str) -> tuple[Event, ...]:
    """Append a whole operation, and return its events."""
    first = begin(store, stream)
    return (*first, *follow(store, first, OperationFinished(OperationOutcome.SUCCEEDED, ClusterStatus.ACTIVE, "")))


def wait_until_after(store: EventStore, time: datetime) -> None:
    """Wait until the store's clock has passed a time."""
    while next(store.heads()).read_at <= time:
        pass
