"""What marks look like where they are written, and what is read of them."""

from uuid import UUID

import pytest

from rollback.marks import LONGEST_TEXT, Agreement, FoundMarks, Marks, agreement, is_mark

JOURNAL, STEP = UUID("0c3f2b0e-5d1c-4f6e-9a52-6a1f8a1b7c01"), UUID("7f0a9a34-11de-4d6b-8c3b-2f9c66a1d902")
MARKS = Marks(JOURNAL, "c-1", STEP)
ROOM = LONGEST_TEXT - len(MARKS.text) - 1


@pytest.mark.parametrize(("name", "left"), [("keys", "keys"), ("x" * ROOM, "x" * ROOM), ("x" * (ROOM + 1), "x" * ROOM)], ids=len)
def test_a_name_is_cut_only_where_it_and_its_mark_do_not_fit(name: str, left: str) -> None:
    assert MARKS.name(name) == f"{left}-{MARKS.text}"


@pytest.mark.parametrize(("text", "marked"), [("", MARKS.text), ("of mine", f"of mine {MARKS.text}")])
def test_a_description_ends_with_its_mark(text: str, marked: str) -> None:
    assert MARKS.description(text) == marked


def test_only_our_tags_are_marks() -> None:
    assert all(map(is_mark, MARKS.tags))
    assert not any(map(is_mark, ["provjournal", "web", f"x{MARKS.tags[0]}"]))


def test_of_a_text_one_mark_is_read_and_no_tag() -> None:
    assert FoundMarks.of_text(MARKS.text) == FoundMarks(frozenset(), frozenset(), str(JOURNAL), "c-1", str(STEP))
    assert FoundMarks.of_text("mine") == FoundMarks(frozenset(), frozenset(), None, None, None)


@pytest.mark.parametrize(
    ("tags", "metadata", "says"),
    [
        (MARKS.tags, MARKS.metadata, True),
        (MARKS.tags, {}, True),
        ([], MARKS.metadata, True),
        ([], {}, False),
        (Marks(STEP, "c-1", STEP).tags, {}, False),
    ],
)
def test_a_tag_or_the_metadata_says_which_journal(tags: list[str], metadata: dict[str, str], *, says: bool) -> None:
    assert FoundMarks.of(tags, metadata).says_journal(JOURNAL) is says


def test_an_adopted_server_is_marked_with_no_step() -> None:
    adopted = Marks(JOURNAL, "c-1", None)
    assert adopted.tags == MARKS.tags[:1]
    assert adopted.metadata == {key: said for key, said in MARKS.metadata.items() if key != "provjournal_step"}


def test_two_steps_in_tags_say_no_step() -> None:
    another = Marks(JOURNAL, "c-1", JOURNAL)
    assert FoundMarks.of(MARKS.tags, another.metadata).step_id == STEP
    assert FoundMarks.of([], another.metadata).step_id == JOURNAL
    assert FoundMarks.of([*MARKS.tags, *another.tags], MARKS.metadata).step_id is None


@pytest.mark.parametrize(
    ("tags", "metadata", "agreed"),
    [
        (MARKS.tags, MARKS.metadata, Agreement.BOTH),
        (MARKS.tags, {}, Agreement.ONE),
        ([], MARKS.metadata, Agreement.ONE),
        (MARKS.tags[:1], MARKS.metadata, Agreement.ONE),
        (MARKS.tags[:1], {}, Agreement.NONE),
        ([], {}, Agreement.NONE),
        (Marks(JOURNAL, "c-1", JOURNAL).tags, MARKS.metadata, Agreement.CONTRADICTION),
        (Marks(STEP, "c-1", STEP).tags, MARKS.metadata, Agreement.CONTRADICTION),
        ([*MARKS.tags, *Marks(JOURNAL, "c-1", JOURNAL).tags], MARKS.metadata, Agreement.CONTRADICTION),
        (MARKS.tags, Marks(JOURNAL, "c-2", STEP).metadata, Agreement.CONTRADICTION),
        (MARKS.tags, Marks(JOURNAL, "c-1", JOURNAL).metadata, Agreement.CONTRADICTION),
    ],
)
def test_tags_and_metadata_agree_by_journal_cluster_and_step(
    tags: list[str], metadata: dict[str, str], agreed: Agreement
) -> None:
    assert agreement(FoundMarks.of(tags, metadata), MARKS) is agreed
