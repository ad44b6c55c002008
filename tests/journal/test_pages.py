"""What is read in one pass is what is read with care, and nothing is read in one pass that is refused with care."""

import json
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oddities import HOSTILE, ODD, PLANS, at, mutations, paths

from journal import codec
from journal.errors import Malformed
from journal.events import Event
from journal.pages import from_page

MORE = settings(derandomize=True, database=None, max_examples=300)
HASH = "0" * 64
WITH_CARE_ONLY = {("plan_made", "resource_id"), ("plan_made", "kind")}
"""Fields that are read with care always, by type of event."""
ALL = [document for some in PLANS.values() for document in some]


def row_of(document: dict[str, Any], text: str | None = None) -> tuple[Any, ...]:
    """What the store has of a document, with this text as its data."""
    names = ("version", "id", "type", "schema", "recorded_at", "epoch", "operation")
    data = json.dumps(document.get("data"), ensure_ascii=False) if text is None else text
    return (*(document.get(name) for name in names), data, document.get("hash", HASH))


def with_care(stream: str, row: Sequence[Any]) -> Event | None:
    """What a row is if its data is read field by field; None if it is refused."""
    names = ("version", "id", "type", "schema", "recorded_at", "epoch", "operation", "data", "hash")
    document = {"stream": stream, **dict(zip(names, row, strict=True))}
    try:
        document["data"] = msgspec.json.decode(document["data"])
        read = codec.from_document(document)
        data = codec.with_care(document["type"], document["data"])
    except (Malformed, msgspec.DecodeError, RecursionError):
        return None
    assert repr(read.data) == repr(data)
    return read


def check(stream: str, *rows: Sequence[Any]) -> None:
    for row, event in zip(rows, from_page(stream, rows), strict=True):
        # Not just equal: an enumeration is equal to its text, and 1 to true.
        assert event is None or (repr(event), event.hash) == (repr(with_care(stream, row)), row[-1])


@pytest.mark.parametrize("name", sorted(PLANS))
def test_what_is_right_is_read_in_one_pass(name: str) -> None:
    rows = [row_of(document) for document in PLANS[name]]

    check("c-1", *rows)

    for document, event in zip(PLANS[name], from_page("c-1", rows), strict=True):
        text = json.dumps(document["data"])
        care = any(document["type"] == type_ and f'"{field}":' in text for type_, field in WITH_CARE_ONLY)
        assert (event is None) == care


@MORE
@given(mutations())
def test_a_changed_row_is_read_as_with_care(mutation: tuple[str, int, dict[str, Any]]) -> None:
    name, index, document = mutation
    rows = [row_of(each) for each in PLANS[name]]

    check(document.get("stream", "c-1"), row_of(document))
    check("c-1", *rows[:index], row_of(document), *rows[index + 1 :])


@pytest.mark.parametrize("name", ["every-event-type", "every-event-of-schema-2", "resources-keypairs-of-users"])
def test_an_odd_value_anywhere_is_read_as_with_care(name: str) -> None:
    for document in PLANS[name]:
        for place in paths(document):
            for odd in ODD:
                changed = deepcopy(document)
                at(changed, place[:-1])[place[-1]] = deepcopy(odd)
                check("c-1", row_of(changed))


@pytest.mark.parametrize("name", sorted(PLANS))
def test_a_field_more_twice_or_null_is_read_as_with_care(name: str) -> None:
    for document in PLANS[name]:
        text = json.dumps(document["data"], ensure_ascii=False)
        for field in {*document["data"], "action", "kind", "server_id", "resource_id", "resource_ids", "user", "reason", "x"}:
            for value in (document["data"].get(field), None, [], "server", "port", "", 1):
                more = f'"{field}":{json.dumps(value)}'
                check("c-1", *(row_of(document, one) for one in ("{" + more + "," + text[1:], text[:-1] + "," + more + "}")))


@MORE
@given(st.sampled_from(ALL), st.data())
def test_damaged_data_is_read_as_with_care(document: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(document["data"], ensure_ascii=False)
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    instead = data.draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(list('{}[],:" \n')))

    check("c-1", row_of(document, text[:start] + instead + text[end:]))


@pytest.mark.parametrize("hostile", [*HOSTILE[:3], *HOSTILE[4:]], ids=range(len(HOSTILE) - 1))
def test_hostile_data_is_read_as_with_care(hostile: bytes) -> None:
    text = hostile.decode(errors="replace")
    document = next(each for each in ALL if each["type"] == "operation_started")
    request = json.dumps(document["data"]).replace('"request": {', '"request": {"x": ' + text + ", ", 1)

    check("c-1", row_of(document, text), row_of(document, request), row_of(document))


@pytest.mark.parametrize(
    "hash_",
    ["", "0" * 63, "0" * 65, "0" * 63 + "\n", "0" * 63 + "F", "0" * 63 + "g", "é" * 64, "٣" * 64, "0" * 62 + "0é", None, 0],
)
def test_what_is_no_hash_is_refused_with_care_whatever_stands_beside_it(hash_: object) -> None:
    rows = [row_of(document) for document in PLANS["every-event-type"]]
    wrong = (*rows[1][:-1], hash_)

    assert list(from_page("c-1", [rows[0], wrong, *rows[2:]])) == [None] * len(rows)
    assert with_care("c-1", wrong) is None


@pytest.mark.parametrize("stream", ["", "x" * 256])
def test_what_is_no_stream_is_refused_with_care(stream: str) -> None:
    rows = [row_of(document) for document in PLANS["every-event-type"]]

    assert list(from_page(stream, rows)) == [None] * len(rows)
    check(stream, *rows)


def test_an_empty_page_has_no_events() -> None:
    assert list(from_page("c-1", [])) == []
