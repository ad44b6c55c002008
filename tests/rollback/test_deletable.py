"""What is not deleted: by its marks, by what uses it, and where the journal has lost history."""

from uuid import UUID, uuid4

import pytest

from journal.events import ObservedResource, ResourceKind
from projections.fold import fold
from rollback.cloud import Found
from rollback.deletable import lost_history, new_user, objection, still_used
from rollback.marks import FoundMarks, Marks
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


def test_a_word_judges_no_server_that_let_go_and_came_back() -> None:
    """That it came back shows that it is there."""
    made = HistoryBuilder().create()
    create = made.create_resource(VOLUME, "r")
    create.succeeded()

    def attached_to(*users: str) -> HistoryBuilder:
        return made.observe({}, others=[seen(create, VOLUME, "r", *users)], kinds=[VOLUME])

    found = Found("id-r", "r", "in-use", None, None, kind=VOLUME, attached_to=("nobodys",))
    attached_to("nobodys").resolve("id-r", "unneeded", is_server=False)
    attached_to("nobodys")
    assert (waits(made, "nobodys"), new_user(fold(made.events), (), found, word_stands=True)) == ({}, None)
    attached_to()
    assert new_user(fold(made.events), (), found, word_stands=True) is not None
    attached_to("nobodys")
    assert list(waits(made, "nobodys")) == ["id-r"]
    assert new_user(fold(made.events), (), found, word_stands=True) is not None
    made.resolve("id-r", "unneeded", is_server=False)
    assert (waits(made, "nobodys"), new_user(fold(made.events), (), found, word_stands=True)) == ({}, None)


def test_what_uses_it_by_now_keeps_it_unless_a_person_knew() -> None:
    made = HistoryBuilder().create()
    create = made.create_resource(VOLUME, "r")
    create.succeeded()
    found = Found("id-r", "r", "in-use", None, None, kind=VOLUME, attached_to=("gone", "x"))
    why = "it is in use by now, by x"
    assert new_user(fold(made.events), {"gone"}, found, word_stands=False) == why
    assert new_user(fold(made.events), {"gone"}, found, word_stands=True) == why, "nobody was told of x"
    assert new_user(fold(made.events), {"gone", "x"}, found, word_stands=False) is None
    made.observe({}, others=[seen(create, VOLUME, "r", "x")], kinds=[VOLUME])
    assert new_user(fold(made.events), {"gone"}, found, word_stands=True) == why, "nobody has spoken since"
    made.resolve("id-r", "unneeded", is_server=False)
    assert new_user(fold(made.events), {"gone"}, found, word_stands=False) == why
    assert new_user(fold(made.events), {"gone"}, found, word_stands=True) is None


# By its marks

JOURNAL = UUID("0c3f2b0e-5d1c-4f6e-9a52-6a1f8a1b7c01")


def server(id_: str, marks: Marks | None, *, tags: bool = True, metadata: bool = True) -> Found:
    """A server with these marks, or those of them; None: of a cell that is down."""
    found = None if marks is None else FoundMarks.of(marks.tags if tags else (), marks.metadata if metadata else {})
    return Found(id_, None, "ACTIVE", None, found)


@pytest.mark.parametrize("tags", [True, False])
def test_of_an_adopted_or_named_server_one_mark_suffices_and_of_one_that_was_found_it_does_not(*, tags: bool) -> None:
    made = HistoryBuilder().adopt("adopted").create()
    made.create_server("named").succeeded()
    made.create_server("found")
    history = fold(made.observe({"id-found": "found"}).events)
    steps = {create.intent.name: create.id for create in history.creates.values()}  # type: ignore[union-attr]

    def why(id_: str, step: UUID | None) -> str | None:
        found = server(id_, Marks(JOURNAL, "c-1", step), tags=tags, metadata=not tags)
        return objection(history, JOURNAL, found, word_stands=False)

    assert why("adopted", None) is None
    assert why("id-named", steps["named"]) is None
    assert "so it is not certain that it belongs to this cluster" in str(why("id-found", steps["found"]))


def test_what_cannot_be_read_is_not_deleted() -> None:
    history = fold(HistoryBuilder().adopt("vm-1").events)
    for word_stands in (True, False):
        why = objection(history, JOURNAL, server("vm-1", None), word_stands=word_stands)
        assert why == "its cell is down, so its marks cannot be read"


# Lost history


def test_a_step_that_the_journal_does_not_have_says_that_it_has_lost_history() -> None:
    made = HistoryBuilder().create()
    ours = made.create_server("w")
    lost = server("lost", Marks(JOURNAL, "c-1", uuid4()))
    others = [
        server("down", None),
        server("ours", Marks(JOURNAL, "c-1", ours.id)),
        server("adopted", Marks(JOURNAL, "c-1", None)),
        server("of another cluster", Marks(JOURNAL, "c-2", uuid4())),
        server("of another journal", Marks(uuid4(), "c-1", uuid4())),
    ]
    assert lost_history(fold(made.events), JOURNAL, {found.id: found for found in others}) is None
    why = lost_history(fold(made.events), JOURNAL, {found.id: found for found in (*others, lost)})
    assert why is not None
    assert why.startswith("the journal has lost history: server lost carries this cluster's mark with step ")


def test_a_hold_from_after_it_was_first_seen_says_that_somebody_has_looked() -> None:
    lost = server("lost", marks := Marks(JOURNAL, "c-1", uuid4()))
    made = HistoryBuilder().create()

    def is_told() -> bool:
        return lost_history(fold(made.events), JOURNAL, {"lost": lost}) is not None

    assert is_told()
    made.hold()
    assert is_told(), "who placed the hold could not know of it"
    made.observe({"lost": marks.step})
    assert is_told()
    made.hold()
    assert not is_told()
    made.release()
    assert not is_told()
    made.observe({"lost": marks.step})
    assert not is_told()
