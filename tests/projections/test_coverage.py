"""What ports and volumes were put to use by, as the servers come and go that they are made for."""

from collections.abc import Callable

import pytest

from journal.events import ObservedResource, ResourceKind, VerdictName
from projections.fold import fold
from projections.origin import Origins
from projections.presence import lingers
from projections.standing import standing_word
from projections.users import users
from projections.verdicts import Verdict, verdicts
from rollback.testing import HistoryBuilder
from rollback.testing.histories import Begun

PORT, VOLUME = ResourceKind.PORT, ResourceKind.VOLUME


def row(kind: ResourceKind, name: str, *attached_to: str) -> ObservedResource:
    """One row of a listing: something without a mark, that the stream knows by its id."""
    return ObservedResource(kind, f"id-{name}", name, "ACTIVE", None, None, attached_to)


def judged(history: HistoryBuilder, id_: str) -> Verdict:
    return next(verdict for verdict in verdicts(fold(history.events)) if verdict.id == id_)


# ---- what a scale made, and something may have used


def scaling() -> HistoryBuilder:
    """A cluster of one server, in which a scale has made a port."""
    history = HistoryBuilder().create()
    history.create_server("w0").succeeded()
    history.finish().scale()
    history.create_resource(PORT, "p").succeeded()
    return history


def put_to_use(history: HistoryBuilder) -> Begun:
    """Put something to work on another server, in the stage in which the port was made."""
    return history.custom("fill", "id-w0", may_hold_data=True)


def never_had_a_server(history: HistoryBuilder) -> None:
    put_to_use(history).succeeded()


def was_a_servers_before(history: HistoryBuilder) -> None:
    history.create_server("w1", uses=["id-p"]).succeeded()
    put_to_use(history).succeeded()


def was_a_servers_before_that_was_the_second_to_be_tried(history: HistoryBuilder) -> None:
    history.create_server("w1", uses=["id-p"]).failed()
    history.create_server("w2", uses=["id-p"]).succeeded()
    put_to_use(history).succeeded()


def lost_its_server_that_was_never_made(history: HistoryBuilder) -> None:
    history.create_server("w1", uses=["id-p"]).absent()
    put_to_use(history).succeeded()


def was_let_go_while_it_was_under_way(history: HistoryBuilder) -> None:
    """The conductor deletes the port's server, and knows that it is free, before what it has begun is over."""
    history.create_server("w1", uses=["id-p"]).succeeded()
    use = put_to_use(history)
    history.delete_server("id-w1").succeeded()
    use.succeeded()


@pytest.mark.parametrize(
    ("happened", "verdict"),
    [
        (never_had_a_server, VerdictName.UNSAFE),
        (was_a_servers_before, VerdictName.NEW),
        (was_a_servers_before_that_was_the_second_to_be_tried, VerdictName.NEW),
        (lost_its_server_that_was_never_made, VerdictName.UNSAFE),
        (was_let_go_while_it_was_under_way, VerdictName.UNSAFE),
    ],
)
def test_a_port_may_be_used_by_what_works_while_it_is_no_servers(
    happened: Callable[[HistoryBuilder], None], verdict: VerdictName
) -> None:
    history = scaling()
    happened(history)
    found = judged(history, "id-p")
    assert (found.row, found.verdict) == (9, verdict)


def test_a_port_that_is_a_servers_before_it_is_named_was_never_free() -> None:
    history = HistoryBuilder().create()
    history.create_server("w0").succeeded()
    port = history.finish().scale().create_resource(PORT, "p")
    history.observe({"id-w0": "w0"}, others=[row(PORT, "p")])
    use = put_to_use(history)
    history.create_server("w1", uses=["id-p"]).succeeded()
    port.succeeded()
    use.succeeded()
    assert judged(history, "id-p").verdict is VerdictName.NEW


# ---- victims that came with servers


def active() -> HistoryBuilder:
    """A cluster with a volume that two servers were made with, and with servers of which one was never made."""
    history = HistoryBuilder().create()
    history.create_resource(VOLUME, "v").succeeded()
    history.create_server("w1", uses=["id-v"]).succeeded()
    history.create_server("w2", uses=["id-v"]).succeeded()
    history.create_server("w3", uses=["id-v"]).failed()
    return history


def test_a_volume_that_was_decommissioned_itself_goes_whatever_else_came_with_it() -> None:
    history = active().finish().scale(victims=["id-w1", "id-w2", "id-v"])
    history.decommission("id-w1", resources=["id-v"]).succeeded()
    history.observe({"id-w1": "w1"})
    history.delete_resource(VOLUME, "id-v")
    found = judged(history, "id-v")
    assert (found.row, found.verdict) == (10, VerdictName.UNNEEDED)


def test_a_volume_goes_once_every_server_that_it_came_with_has_let_go() -> None:
    history = active()
    history.create_server("w4", uses=["id-v"])
    history.observe({"id-w1": "w1", "id-w2": "w2", "id-w4": "w4"})
    history.observe({"id-w1": "w1"}, others=[row(VOLUME, "v", "id-w1", "id-w2")])
    history.finish("failed", "Error").scale(victims=["id-w1", "id-v"])
    history.decommission("id-w1").succeeded()
    history.delete_server("id-w1").succeeded()
    found = judged(history, "id-v")
    assert (found.row, found.verdict) == (10, VerdictName.UNNEEDED)


# ---- who uses a port


def used(history: HistoryBuilder) -> list[str]:
    found = fold(history.events)
    return [id_ for id_, _ in users(Origins(found), found.resources["id-p"])]


def made_for_a_server() -> HistoryBuilder:
    history = HistoryBuilder().create()
    history.create_resource(PORT, "p").succeeded()
    history.create_server("w1", uses=["id-p"]).succeeded()
    return history


def test_a_port_that_was_never_seen_is_used_by_the_server_that_was_made_with_it() -> None:
    assert used(made_for_a_server().observe({"id-w1": "w1"})) == ["id-w1"]


def test_a_port_is_used_by_every_server_that_carries_the_mark_of_a_create_with_it() -> None:
    history = HistoryBuilder().create()
    history.create_resource(PORT, "p").succeeded()
    history.create_server("w1", uses=["id-p"])
    assert used(history.observe({"lost": "w1"})) == ["lost"]


def test_a_listing_that_began_once_a_server_was_made_says_who_uses_a_port() -> None:
    assert used(made_for_a_server().observe({"id-w1": "w1"}, others=[row(PORT, "p")])) == []


def test_a_word_on_a_port_is_used_up_once_something_may_use_it() -> None:
    history = HistoryBuilder().create()
    history.create_resource(PORT, "p").succeeded()
    history.create_server("w0").succeeded()
    history.finish().resolve("id-p", "unneeded", is_server=False)
    before = fold(history.events)
    assert standing_word(before, Origins(before), before.resources["id-p"]) is not None
    put_to_use(history.scale())
    after = fold(history.events)
    assert standing_word(after, Origins(after), after.resources["id-p"]) is None


@pytest.mark.parametrize(("status", "holds"), [("SOFT_DELETED", True), ("DELETED", False)])
def test_a_server_that_is_seen_softly_deleted_lets_go_of_nothing(status: str, holds: bool) -> None:
    history = made_for_a_server().observe({"id-w1": "w1"}, status={"id-w1": status})
    assert lingers(fold(history.events).resources["id-w1"]) is holds
