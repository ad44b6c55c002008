"""What marks look like where they are written, and what is read of them."""

from uuid import UUID

import pytest

from rollback.marks import LONGEST_TEXT, FoundMarks, Marks, is_mark

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
