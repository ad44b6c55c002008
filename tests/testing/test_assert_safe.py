"""`assert_safe`: golden histories are safe at every crash point, and bugs that are planted are found."""

from datetime import timedelta

import pytest
from histories import history, named
from simulate import planted

from journal.events import InventoryObserved, ObservedServer
from projections import origin
from projections.cases import Case
from rollback import compensator
from rollback.testing import HistoryBuilder, Unsafe, assert_safe, assert_safe_at, judging, safety
from rollback.testing.histories import START

SPREAD = 7
"""Every so many golden histories are checked; all of them pass, and take a minute."""


def scaled() -> HistoryBuilder:
    history = HistoryBuilder()
    history.create().create_server("w1").succeeded()
    history.configure("id-w1").succeeded()
    history.finish()
    history.scale().create_server("w2").succeeded()
    history.create_server("w3")
    history.configure("id-w2")
    return history


@pytest.mark.parametrize("name", [name for name in named("plans") if history("plans", name).stat().st_size][::SPREAD])
def test_golden_histories_are_safe(name: str) -> None:
    assert_safe(history("plans", name))


def test_a_history_that_is_built_is_safe() -> None:
    assert_safe(scaled().events)


def test_an_empty_history_is_safe() -> None:
    assert_safe([])


def test_all_clusters_of_a_history_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [*HistoryBuilder("c-0").create().events, *scaled().events]
    assert_safe(events)

    planted.configured_servers_deleted(monkeypatch)
    with pytest.raises(Unsafe, match="cluster c-1 is not safe"):
        assert_safe(events)


def test_it_finds_that_configured_servers_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    planted.configured_servers_deleted(monkeypatch)

    with pytest.raises(Unsafe) as found:
        assert_safe(scaled().events)

    assert str(found.value).splitlines()[:4] == [
        "cluster c-1 is not safe if everything stops at version 11 (configure of id-w2 began)",
        "  with no look at the cloud",
        "  invariant: 1. Nothing unsafe is deleted",
        "  the plan deletes server w2 (id-w2), but configure (version 11) may have put data on it",
    ]
    assert_safe_at(scaled().events, 10)
    with pytest.raises(Unsafe, match="version 11"):
        assert_safe_at(scaled().events, 11)


def test_it_finds_that_marks_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    planted.marks_not_read_back(monkeypatch)

    with pytest.raises(Unsafe, match=r"(?s)marked as another cluster's.*6\. Nothing foreign.*id-w1 carries the marks of another"):
        assert_safe(scaled().events)


def test_it_finds_that_a_refused_create_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    history = HistoryBuilder().create()
    history.create_server("w1").failed("no answer")
    assert_safe(history.events)

    planted.tags_ignored_on_failed_create(monkeypatch)
    with pytest.raises(Unsafe, match=r"(?s)has landed.*2\. Nothing leaks"):
        assert_safe(history.events)


def test_it_finds_that_compensation_does_not_come_to_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compensator, "is_news", lambda *_: True)

    with pytest.raises(Unsafe, match=r"(?s)3\. It ends.*a second compensation did something that the first did not"):
        assert_safe(scaled().events)


def test_it_finds_that_copies_are_taken_for_the_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "_is_repeated", lambda *_: True)
    monkeypatch.setattr(compensator, "objection", lambda *_, **__: None)

    with pytest.raises(Unsafe, match=r"bystander-copied was deleted, but it is foreign"):
        assert_safe(scaled().events)


def with_a_volume() -> HistoryBuilder:
    history = HistoryBuilder().create()
    history.create_resource("volume", "v1").succeeded()
    history.create_server("w1", uses=["id-v1"]).succeeded()
    return history


def test_it_finds_that_a_plan_deletes_what_a_server_that_stays_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    history = with_a_volume()
    history.start("id-w1").succeeded()
    history.finish().resolve("id-w1", "unsafe").request_deletion()
    assert_safe(history.events)

    monkeypatch.setattr(Case, "remaining_user", lambda *_: None)
    with pytest.raises(Unsafe, match=r"the plan deletes volume v1 \(id-v1\), but id-w1, which stays, uses it"):
        assert_safe(history.events)


def test_the_copy_that_stands_beside_a_server_uses_nothing_of_its() -> None:
    world = safety._World(with_a_volume().events, landed=False)  # noqa: SLF001 (nobody else is told what was deleted)
    world.attach()

    assert world.compensate().complete
    assert not world.cloud.others


def test_a_copy_is_no_server_that_something_was_made_with() -> None:
    history = HistoryBuilder().create()
    history.create_resource("volume", "v1").succeeded()
    create = history.create_server("w1", uses=["id-v1"])
    create.succeeded()
    copy = ObservedServer("copied", "w1", "ACTIVE", START - timedelta(days=1), create.id)
    history.append(InventoryObserved((copy,), complete=False, as_of=5, began_at=history.now, cloud=history.cloud))

    assert judging.Judge(history.events).users_now("id-v1") == ["id-w1"]


def test_who_judges_asks_nobody_who_decides() -> None:
    homes = {getattr(value, "__module__", "") for value in vars(judging).values()}

    assert not {home for home in homes if str(home).startswith(("projections", "rollback.plan", "rollback.compensator"))}
    assert judging.Judge([]).objection("nobody") == "it is foreign: no create of this journal made it, and nobody adopted it"
