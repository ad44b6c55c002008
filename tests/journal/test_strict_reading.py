"""Reading is strict: what the catalogue does not allow is refused, by line, and nothing else ever comes out of reading."""

import hashlib
import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest
import rfc8785
from builders import create_server, events
from histories import expected, history, lines, named
from hypothesis import given, settings
from hypothesis import strategies as st
from oddities import CHARACTERS, HOSTILE, JSON, ODD, PLANS, at, mutations, paths

from journal import errors
from journal.codec import FIRST_HASH, canonical, encode_line, plain, to_document
from journal.errors import BrokenChain, JournalError, Malformed
from journal.events import CreateServer, Event
from journal.files import read_file, read_lines
from journal.store import chained
from projections.fold import fold
from rollback.plan import plan

FIXED = settings(derandomize=True, database=None)
MORE, FEWER = settings(FIXED, max_examples=300), settings(FIXED, max_examples=150)

SPOKEN = "every-event-type"
SPOKEN_OF_RESOURCES = ("every-event-of-schema-2", "resources-keypairs-of-users")
ALL_SPOKEN = [(name, number) for name in (SPOKEN, *SPOKEN_OF_RESOURCES) for number in range(len(PLANS[name]))]
"""Each type of event, and each field, in each schema."""
OPTIONAL = {
    "completion": {"server_id", "reason"},
    "intent": {"user"},
    "inventory_observed": {"resources", "kinds", "user"},
    "plan_made": {"resource_id"},
}
"""Fields that can be left out, by type of event."""


def read(some: list[bytes]) -> list[Event]:
    return list(read_lines(some, name="golden"))


def encoded(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


# Refused


@pytest.mark.parametrize("name", named("refused"))
def test_a_refused_history_is_read_up_to_the_line_that_is_refused(name: str) -> None:
    wanted = expected("refused", name)
    path = history("refused", name)

    events = read_file(path)
    for number in range(1, wanted["line"]):
        assert next(events).version == number

    with pytest.raises(JournalError) as refusal:
        next(events)
    assert type(refusal.value) is getattr(errors, wanted["error"])
    assert str(refusal.value).startswith(f"{path}, line {wanted['line']}: ")
    assert wanted["message"] in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "number", "path"),
    [(name, n, path) for name, n in ALL_SPOKEN for path in paths(PLANS[name][n]) if isinstance(path[-1], str)],
)
def test_no_field_can_be_missing_or_of_another_kind(name: str, number: int, path: tuple[Any, ...]) -> None:
    good, document = lines("plans", name)[:number], deepcopy(PLANS[name][number])
    parent, field = at(document, path[:-1]), path[-1]
    optional = field in OPTIONAL.get(document["type"], ())

    value = parent.pop(field)
    if not optional:
        refuse(good, document)
    for wrong in (object_of(value), [[value]], 0.5, not_null(value)):
        parent[field] = wrong
        if field != "request" or not isinstance(wrong, dict):
            refuse(good, document)


def object_of(value: object) -> dict[str, object]:
    return {"value": value}


def not_null(value: object) -> object:
    return True if isinstance(value, int | str | list | dict | None) and not isinstance(value, bool) else "true"


@pytest.mark.parametrize(("name", "number"), ALL_SPOKEN)
def test_no_object_can_have_a_field_more(name: str, number: int) -> None:
    good, original = lines("plans", name)[:number], PLANS[name][number]

    for path in [(), *paths(original)]:
        document = deepcopy(original)
        if isinstance(at(document, path), dict) and path[-1:] != ("request",):
            at(document, path)["x"] = None
            refuse(good, document)


def refuse(good: list[bytes], document: object) -> None:
    with pytest.raises(Malformed, match=rf"^golden, line {len(good) + 1}: "):
        read([*good, encoded(document)])


def test_an_empty_file_is_an_empty_journal(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()

    assert list(read_file(tmp_path / "empty.jsonl")) == []


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.UnreadableFile, match=r"missing\.jsonl"):
        list(read_file(tmp_path / "missing.jsonl"))


def test_several_streams_in_one_file_are_each_in_their_own_order() -> None:
    one, two = lines("plans", SPOKEN), [line.replace(b'"c-1"', b'"c-2"') for line in lines("plans", "held")]
    mixed = [line for pair in zip(one, two, strict=False) for line in pair]

    assert [event.stream for event in read(mixed)] == ["c-1", "c-2"] * (len(mixed) // 2)
    with pytest.raises(errors.OutOfOrder, match=r"line 4: cluster 'c-2', version 3: expected version 2"):
        read([*mixed[:3], mixed[5]])


# Read and written again


@pytest.mark.parametrize("name", named("plans"))
def test_what_was_read_is_written_as_it_was(name: str) -> None:
    events = read(lines("plans", name))
    export = [encode_line(event) for event in events]

    for event, line, document in zip(events, export, PLANS[name], strict=True):
        assert same(without_hash(json.loads(line)), document)
        assert json.loads(line) == to_document(event)
    assert [encode_line(event) for event in read(export)] == export


@pytest.mark.parametrize("name", sorted(PLANS.keys() - {"request-with-the-largest-integers"}))
def test_hashes_are_those_of_the_catalogue(name: str) -> None:
    previous = FIRST_HASH
    for event in read_file(history("plans", name)):
        document = without_hash(to_document(event))
        previous = hashlib.sha256(previous.encode() + b"\n" + rfc8785.dumps(document)).hexdigest()
        assert event.hash == previous


@pytest.mark.parametrize("name", ["every-event-type", "scale-both-ways-observed", "delete-that-took-over-succeeded"])
def test_tampering_with_any_line_of_an_export_is_refused(name: str) -> None:
    export = [encode_line(event) for event in read(lines("plans", name))]

    for index, line in enumerate(export):
        document = json.loads(line)
        document["recorded_at"] = "2026-11-23T09:59:59.000000Z"
        assert refused_at([*export[:index], encoded(document), *export[index + 1 :]], BrokenChain) == index + 1
        if index + 1 < len(export):
            del document["hash"]
            assert refused_at([*export[:index], encoded(document), *export[index + 1 :]], BrokenChain) == index + 2
            assert refused_at([*export[:index], *export[index + 1 :]], JournalError) == index + 1
            swapped = [*export[:index], export[index + 1], line, *export[index + 2 :]]
            assert refused_at(swapped, JournalError) == index + 1


def refused_at(some: list[bytes], error: type[JournalError]) -> int:
    with pytest.raises(error, match=r"^golden, line \d+: ") as refusal:
        read(some)
    return int(str(refusal.value).removeprefix("golden, line ").split(":")[0])


def without_hash(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "hash"}


# Whatever stands in a file

INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)


def check(some: list[bytes]) -> list[Event]:
    """Whatever is read is refused as ours, or can be written and read again, to the same, and has a plan."""
    try:
        events = read(some)
    except JournalError:
        return []
    export = [encode_line(event) for event in events]
    assert read(export) == events
    assert [encode_line(event) for event in read(export)] == export
    for stream in {event.stream for event in events}:
        plan(fold(event for event in events if event.stream == stream))
    return events


@MORE
@given(st.binary(max_size=60) | JSON.map(encoded) | st.sampled_from(HOSTILE))
def test_any_line_is_read_or_refused(line: bytes) -> None:
    check([line])
    check([*lines("plans", "create-in-flight"), line])


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize(
    ("number", "field"), [(0, b'"stream":'), (0, b'"schema":'), (0, b'"request":'), (0, b'"id":'), (0, b'"kind":')]
)
def test_hostile_values_are_read_or_refused(hostile: bytes, number: int, field: bytes) -> None:
    good = lines("plans", "create-in-flight")
    before, _, after = good[number].partition(field)
    value = {b'"request":': b"{}"}.get(field) or after.partition(b",")[0]

    check([*good[:number], before + field + after.replace(value, hostile, 1)])
    check([*good[:number], before + field + after.replace(value, b'{"a":' + hostile + b"}", 1)])


@MORE
@given(mutations())
def test_a_changed_line_is_read_as_what_it_says_or_refused(mutation: tuple[str, int, dict[str, Any]]) -> None:
    name, index, document = mutation
    good = lines("plans", name)

    events = check([*good[:index], encoded(document)])
    check([*good[:index], encoded(document), *good[index + 1 :]])

    if events:
        assert same(without_hash(to_document(events[index])), document)


@pytest.mark.parametrize(("name", "number"), ALL_SPOKEN)
def test_an_odd_value_anywhere_is_read_as_what_it_says_or_refused(name: str, number: int) -> None:
    good, original = lines("plans", name)[:number], PLANS[name][number]
    for place in paths(original):
        for odd in ODD:
            document = deepcopy(original)
            at(document, place[:-1])[place[-1]] = deepcopy(odd)
            events = check([*good, encoded(document)])
            assert not events or same(without_hash(to_document(events[number])), document), (place, odd)


@FEWER
@given(st.sampled_from(sorted(PLANS)), st.data())
def test_a_damaged_line_is_read_or_refused(name: str, data: st.DataObject) -> None:
    good = lines("plans", name)
    index = data.draw(st.integers(0, len(good) - 1))
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(good[index]))] * 2)))

    check([*good[:index], good[index][:start]])
    check([*good[:index], good[index][:start] + data.draw(st.binary(max_size=4)) + good[index][end:]])


def same(ours: object, theirs: object) -> bool:
    """Whether two JSON values say the same: times and UUIDs can be written in several ways."""
    match ours, theirs:
        case dict(), dict():
            return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
        case list(), list():
            return len(ours) == len(theirs) and all(map(same, ours, theirs))
        case str(), str():
            return ours == theirs or same_time(ours, theirs) or same_uuid(ours, theirs)
        case _:
            return type(ours) is type(theirs) and ours == theirs


def same_time(ours: str, theirs: str) -> bool:
    try:
        one, two = (datetime.fromisoformat(text.upper()).astimezone(UTC) for text in (ours, theirs))
    except ValueError:
        return False
    return abs(one - two) <= timedelta(microseconds=1)


def same_uuid(ours: str, theirs: str) -> bool:
    try:
        return UUID(ours) == UUID(theirs)
    except ValueError:
        return False


@FEWER
@given(
    st.recursive(
        st.none() | st.booleans() | INTEGERS | st.text(CHARACTERS),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(CHARACTERS), inner),
        max_leaves=20,
    )
)
def test_canonical_json_is_that_of_rfc_8785(value: object) -> None:
    assert canonical(value) == rfc8785.dumps(value)


# Times, as they are written


class Stopped(datetime):
    """A time of a class of its own, as libraries make it that stop the clock for a test."""


@FIXED
@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31), timezones=st.just(UTC) | st.timezones())  # noqa: DTZ001 (hypothesis adds the zone)
)
def test_a_time_is_written_in_utc_to_the_microsecond_whatever_its_zone_and_class(time: datetime) -> None:
    utc = time.astimezone(UTC)
    wanted = f"{utc:%m-%dT%H:%M:%S}.{utc.microsecond:06d}Z"
    for some in (time, utc, utc.replace(microsecond=0), utc.replace(microsecond=10)):
        as_stopped = Stopped.combine(some.date(), some.timetz())
        assert type(as_stopped) is Stopped
        assert plain(as_stopped) == plain(some)
    assert plain(time) == plain(utc) == f"{utc.year:04d}-{wanted}"
    assert plain(utc.replace(microsecond=0)).endswith(".000000Z")


def test_an_event_is_recorded_as_it_is_while_a_library_stops_the_clock() -> None:
    (usual,) = events(create_server())
    assert isinstance(usual.data, CreateServer)
    deadline, now = usual.data.deadline, usual.recorded_at
    stopped = attrs.evolve(
        usual,
        recorded_at=Stopped.combine(now.date(), now.timetz()),
        data=attrs.evolve(usual.data, deadline=Stopped.combine(deadline.date(), deadline.timetz())),
    )
    assert chained(FIRST_HASH, [stopped]) == (usual,)
