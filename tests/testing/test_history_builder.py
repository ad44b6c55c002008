"""Histories in a few lines of Python: by the rules, the same in each run, and as a file what they are as events."""

from itertools import pairwise
from pathlib import Path

import pytest

from journal.errors import Malformed, OutOfOrder
from journal.events import ResourceKind
from journal.files import read_file
from rollback.testing import HistoryBuilder, replay


def scaled() -> HistoryBuilder:
    history = HistoryBuilder()
    history.create(worker=1).create_server("w1").succeeded()
    history.configure("id-w1").succeeded()
    history.finish()
    history.scale(worker=2).create_server("w2").succeeded()
    return history


def decided(history: HistoryBuilder) -> dict[str | None, str]:
    return {verdict.id or verdict.name: str(verdict.verdict) for verdict in replay(history.events).plan.verdicts}


def test_what_is_built_replays_as_it_says() -> None:
    history = scaled()
    history.create_server("w3")
    history.create_server("w4").failed()

    assert decided(history) == {"id-w1": "in_service", "id-w2": "new", "w3": "in_doubt", "w4": "in_doubt"}


def test_it_is_the_same_in_each_run_and_a_second_an_event() -> None:
    events = scaled().events

    assert [event.hash for event in events] == [event.hash for event in scaled().events]
    assert {(b.recorded_at - a.recorded_at).total_seconds() for a, b in pairwise(events)} == {1}


def test_time_passes_when_it_is_let() -> None:
    history = HistoryBuilder().create().wait(600)
    history.create_server("w1")

    first, second = history.events
    assert (second.recorded_at - first.recorded_at).total_seconds() == 601


def test_a_file_is_read_strictly_and_holds_the_same_events(tmp_path: Path) -> None:
    history = scaled()

    read = tuple(read_file(history.write(tmp_path / "c.jsonl")))

    assert read == history.events
    assert [event.hash for event in read] == [event.hash for event in history.events]


def test_every_action_and_what_others_do(tmp_path: Path) -> None:
    history = HistoryBuilder()
    history.adopt("old-1", "old-2")
    history.scale(victims=["old-1"])
    history.decommission("old-1").succeeded()
    history.delete_server("old-1").absent()
    history.create_resource("port", "p1").succeeded()
    history.create_resource("volume", "v1").failed()
    history.create_server("w1", uses=["id-p1"]).succeeded()
    lost = history.create_server("w2")
    history.custom("mount", "id-w1", may_hold_data=False).succeeded()
    history.configure().succeeded()
    history.start("id-w1").failed("no answer")
    history.error("it failed").take()
    history.observe({"id-w1": "w1", "seen": "w2", "somebody's": None}, complete=False, status={"seen": "ERROR"})
    history.hold().release()
    lost.failed("found by its mark", made="seen")
    history.resolve("seen", "unsafe").resolve(lost, "gone").resolve("id-p1", "in_service", is_server=False)
    history.request_deletion().delete()
    history.delete_server("id-w1").succeeded()
    history.delete_resource(ResourceKind.PORT, "id-p1", by_rollback=True).succeeded()
    history.finish("failed")

    events = tuple(read_file(history.write(tmp_path / "c.jsonl")))
    assert [event.type for event in events[-3:]] == ["intent", "completion", "operation_finished"]
    assert events[-1].epoch == 3
    assert decided(history)["old-2"] == "unneeded"
    assert decided(history)["seen"] == "gone"


def test_an_ended_delete_leaves_the_cluster_deleted() -> None:
    history = scaled()
    history.finish("failed").delete()
    for server in ("id-w1", "id-w2"):
        history.delete_server(server).succeeded()
    history.finish()

    assert replay(history.events).plan.cluster_status == "Deleted"
    assert set(decided(history).values()) == {"gone"}


def test_what_may_not_stand_there_is_refused_and_not_appended() -> None:
    history = HistoryBuilder().create()

    with pytest.raises(OutOfOrder, match="is not known to this stream"):
        history.configure("nobody")
    with pytest.raises(Malformed):
        history.create_server("")
    with pytest.raises(OutOfOrder):
        history.scale()
    assert len(history.events) == 1


def test_a_step_wants_an_operation() -> None:
    with pytest.raises(ValueError, match=r"begin one with create\(\)"):
        HistoryBuilder().create_server("w1")


def test_events_of_several_clusters_are_replayed_by_cluster() -> None:
    events = [*scaled().events, *HistoryBuilder("c-2").create().events]

    found = replay(events)

    assert [plan.stream for plan in found.plans.values()] == ["c-1", "c-2"]
    assert found.histories["c-2"].version == 1
    with pytest.raises(ValueError, match="2 clusters"):
        _ = found.plan
