"""What is not deleted before a server that uses it is gone, and what a person has judged of such a server."""

import pytest

from journal.events import ObservedResource, ResourceKind
from projections.fold import fold
from rollback.deletable import still_used
from rollback.plan import plan
from rollback.testing.histories import Begun, HistoryBuilder

VOLUME = ResourceKind.VOLUME
HELD = {ResourceKind.PORT, VOLUME, ResourceKind.SECURITY_GROUP}
OTHERS = [kind for kind in ResourceKind if kind is not ResourceKind.SERVER]


def seen(create: Begun, kind: ResourceKind, name: str, *users: str) -> ObservedResource:
    return ObservedResource(kind, f"id-{name}", name, "ACTIVE", None, create.id, users)


def waits(made: HistoryBuilder, *unseen: str) -> dict[str, str]:
    history = fold(made.events)
    return still_used(history, plan(history), unseen)


@pytest.mark.parametrize("kind", OTHERS)
def test_a_softly_deleted_server_holds_what_its_service_would_not_delete(kind: ResourceKind) -> None:
    made = HistoryBuilder().create()
    create = made.create_resource(kind, "r")
    create.succeeded()
    made.create_server("w", uses=["id-r"]).succeeded()
    assert waits(made) == {"id-r": "server id-w, which uses it, is still there"}
    made.observe({"id-w": "w"}, status={"id-w": "SOFT_DELETED"}, others=[seen(create, kind, "r", "id-w")], kinds=[kind])
    assert waits(made) == ({"id-r": "server id-w, which uses it, is still there"} if kind in HELD else {})
    made.observe({"id-w": "w"}, status={"id-w": "DELETED"}, others=[seen(create, kind, "r")], kinds=[kind])
    assert waits(made) == {}


def test_a_word_judges_the_server_that_the_journal_was_told_of_and_of_that_volume_only() -> None:
    made = HistoryBuilder().create()
    creates = {name: made.create_resource(VOLUME, name) for name in ("first", "second")}
    for create in creates.values():
        create.succeeded()
    for name in creates:
        made.resolve(f"id-{name}", "unneeded", is_server=False)
    users = {"first": ["nobodys"], "second": []}
    made.observe({}, others=[seen(create, VOLUME, name, *users[name]) for name, create in creates.items()], kinds=[VOLUME])
    why = {"id-first": "server nobodys uses it, and is not seen here: if there is none, say again what this volume is"}
    assert waits(made, "nobodys") == why
    assert waits(made.resolve("id-second", "unneeded", is_server=False), "nobodys") == why
    assert waits(made.resolve("id-first", "unneeded", is_server=False), "nobodys") == {}
    assert waits(made) == {"id-first": "server nobodys, which uses it, is still there"}
