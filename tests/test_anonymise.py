"""An anonymised export tells nobody whose it is, and has the plan of what it was made from."""

import json
import re
import types
from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import count, permutations
from pathlib import Path
from typing import Any, Union, get_args, get_origin
from uuid import UUID, uuid4

import attrs
import pytest
from builders import CLOUD, T0, create_server, events, started
from command import GOLDEN, HISTORY, Run, renamed
from histories import history, named

from journal.anonymise import TREATMENTS, Anonymiser, Treatment
from journal.clock import SystemClock
from journal.codec import TYPES, encode_line
from journal.events import (
    FOUND_BY_MARK,
    READ_REASONS,
    SOFTLY_DELETED,
    Completion,
    CreateResource,
    Data,
    DeleteServer,
    Event,
    InventoryObserved,
    ObservedResource,
    ObservedServer,
    OperationStarted,
    ResourceKind,
    Stage,
    StepOutcome,
)
from journal.files import read_file
from journal.journal import Journal
from projections.fold import fold
from projections.presence import lingers
from projections.verdicts import Verdict
from rollback.plan import Plan, plan

NIGHT = GOLDEN.parent.parent / "examples" / "night.jsonl"
WORD = re.compile(r"^(?:cluster|id|name|group|cloud|conductor|user|text)-\d+(?: \(no server\))?$|^0{8}-0000-4000-8000-\d{12}$")
FORMAT_FIELDS = {"stream", "version", "id", "type", "schema", "recorded_at", "epoch", "operation", "data", "hash"}
KEPT = {
    *("action", "as_of", "began_at", "cluster_status", "complete", "created_at", "deadline", "during", "evidence", "kind"),
    *("kinds", "may_hold_data", "outcome", "stage", "status", "verdict"),
}
"""The fields of which somebody has decided that nobody is told by them."""


def anonymised(given: list[Event]) -> tuple[list[Event], "Words"]:
    made = Anonymiser.of(given)
    found = [made.anonymised(event) for event in given]
    return found, Words.between(given, found)


@attrs.frozen
class Words:
    """What stands where in both."""

    words: dict[str, str]

    @classmethod
    def between(cls, given: list[Event], found: list[Event]) -> "Words":
        words: dict[str, str] = {}
        for one, other in zip(given, found, strict=True):
            for before, after in zip(leaves(attrs.evolve(one, hash=None)), leaves(other), strict=True):
                if isinstance(before, str | UUID) and not isinstance(before, StrEnum):
                    assert words.setdefault(str(before), str(after)) == str(after), "the same word wherever it stands"
        return cls(words)

    def of(self, text: object) -> str | None:
        return None if text is None else self.words[str(text)]

    def told(self, because: str) -> str:
        return re.sub(r"[^\s:,]+", lambda token: self.words.get(token[0], token[0]) if "-" in token[0] else token[0], because)


def leaves(value: Any) -> Iterator[Any]:
    """Yield what stands in an event, in order; a request is one thing."""
    if attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            if field.name != "request":
                yield from leaves(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def same(verdict: Verdict, words: Words) -> Verdict:
    because = words.told(verdict.because)
    if verdict.is_operators_word:
        because = f"{words.of(verdict.because.removesuffix(' said so'))} said so"
    return attrs.evolve(
        verdict,
        id=words.of(verdict.id),
        step=verdict.step and UUID(words.of(verdict.step)),
        name=words.of(verdict.name) if verdict.name else verdict.name,
        because=because,
    )


def check_same_plan(given: Plan, found: Plan, words: Words) -> None:
    assert (found.version, found.cluster_status) == (given.version, given.cluster_status)
    assert found.verdicts == tuple(same(verdict, words) for verdict in given.verdicts)
    assert found.operation == (given.operation and UUID(words.of(given.operation)))


@pytest.mark.parametrize("name", named("plans"))
def test_every_prefix_of_a_golden_history_has_the_same_plan(name: str) -> None:
    given = list(read_file(history("plans", name)))
    found, words = anonymised(given)
    for length in range(1, len(given) + 1):
        check_same_plan(plan(fold(given[:length])), plan(fold(found[:length])), words)


def strings(document: object) -> Iterator[str]:
    match document:
        case dict():
            for key, value in document.items():
                yield key
                yield from strings(value)
        case list():
            for item in document:
                yield from strings(item)
        case str():
            yield document
        case _:
            pass


def words_of_the_format() -> set[str]:
    fields = {field.name for cls in classes() for field in attrs.fields(cls)}
    choices = {str(word) for choice in StrEnum.__subclasses__() for word in choice if choice.__module__ == "journal.events"}
    actions = {f"{verb}_{kind}" for verb in ("create", "delete") for kind in ResourceKind}
    return (
        FORMAT_FIELDS | fields | choices | actions | set(TYPES) | {"action", "decommission", "configure", "custom"} | READ_REASONS
    )


def check_nothing_survives(given: list[Event]) -> None:
    """No text of four characters or more that is no word of the format stands in what is written."""
    found, _ = anonymised(given)
    told = words_of_the_format() | statuses(given)
    originals = {text for event in given for text in strings(json.loads(encode_line(event))) if len(text) >= 4}
    written = {text for event in found for text in strings(json.loads(encode_line(event)))}
    unknown = {text for text in written if text and not (WORD.match(text) or text in told or is_time(text))}
    assert unknown == set()
    assert {text for text in originals & written if not is_time(text)} <= told


def is_time(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", text) is not None


def statuses(given: list[Event]) -> set[str]:
    listings = [event.data for event in given if isinstance(event.data, InventoryObserved)]
    return {row.status for listing in listings for row in (*listing.servers, *listing.resources)}


@pytest.mark.parametrize("path", [NIGHT, *sorted((GOLDEN / "plans").glob("*.jsonl"))], ids=lambda path: path.stem)
def test_nothing_of_a_history_survives(path: Path) -> None:
    check_nothing_survives(list(read_file(path)))


def classes() -> Iterator[type[Any]]:
    """Yield each class of the closed union, and those of rows in it."""
    for cls in get_args(Data):
        yield cls
        for field in attrs.fields(attrs.resolve_types(cls)):
            if get_origin(field.type) is tuple and attrs.has(row := get_args(field.type)[0]):
                yield row


NUMBERS = count(1)


def filled_in(annotation: Any) -> Any:
    """Return a value of this type of which each text stands nowhere else."""
    origin, args = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return filled_in(args[0])
    if origin in (types.UnionType, Union):
        return filled_in(next(arg for arg in args if arg is not type(None)))
    if origin is tuple:
        return (filled_in(args[0]), filled_in(args[0]))
    if origin is dict:
        return {f"secret-key-{next(NUMBERS)}": {"deep": [f"secret-value-{next(NUMBERS)}"]}}
    if attrs.has(annotation):
        fields = attrs.fields(attrs.resolve_types(annotation))
        return annotation(**{f.name: "ACTIVE" if f.name == "status" else filled_in(f.type) for f in fields})
    return {
        str: lambda: f"secret-{next(NUMBERS)}",
        int: lambda: 1,
        bool: lambda: True,
        UUID: uuid4,
        datetime: lambda: T0,
    }.get(annotation, lambda: next(iter(annotation)))()


@pytest.mark.parametrize("cls", get_args(Data), ids=lambda cls: cls.__name__)
def test_nothing_survives_of_any_type_with_every_field_filled_in(cls: type[Any]) -> None:
    data = filled_in(cls)
    event = Event("secret-cluster", 2, uuid4(), T0, 1, uuid4(), data)
    found, _ = anonymised([event])
    originals = {str(leaf) for leaf in leaves(event) if isinstance(leaf, UUID) or str(leaf).startswith("secret")}
    text = encode_line(found[0]).decode()
    assert len(originals) >= 3
    assert [original for original in originals if original in text] == []
    assert "secret" not in text
    assert text.count("deep") == 0


def test_somebody_has_decided_about_every_field() -> None:
    fields = {field.name for cls in classes() for field in attrs.fields(cls)}
    assert fields == set(TREATMENTS)
    assert {name for name, how in TREATMENTS.items() if how is Treatment.KEPT} == KEPT


def test_a_field_that_nobody_has_decided_about_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given = list(events(started(), operation=uuid4()))
    made = Anonymiser.of(given)
    monkeypatch.delitem(TREATMENTS, "conductor")  # type: ignore[arg-type] (it is a dict)
    with pytest.raises(KeyError, match="conductor"):
        made.anonymised(given[0])


@pytest.mark.parametrize("ids", list(permutations(["a", "b", "ab", "10"])))
def test_ids_keep_their_order_so_the_original_is_the_same(ids: tuple[str, ...]) -> None:
    intent = create_server()
    rows = tuple(ObservedServer(id_, None, "ACTIVE", T0 + timedelta(minutes=30), intent.step) for id_ in ids)
    listing = InventoryObserved(rows, complete=True, as_of=2, began_at=T0 + timedelta(hours=2), cloud=CLOUD)
    given = list(events(started(), intent, listing, operation=uuid4()))
    found, words = anonymised(given)
    assert [verdict.id for verdict in plan(fold(given)).verdicts if verdict.action == "delete"] == ["10"]
    check_same_plan(plan(fold(given)), plan(fold(found)), words)


def test_more_than_nine_ids_keep_their_order() -> None:
    ids = [f"s{number:02}" for number in range(1, 31)]
    given = list(
        events(
            started(),
            create_server(),
            InventoryObserved(
                tuple(ObservedServer(id_, None, "ACTIVE", None, None) for id_ in ids),
                complete=True,
                as_of=0,
                began_at=T0,
                cloud=CLOUD,
            ),
            operation=uuid4(),
        )
    )
    found, _ = anonymised(given)
    assert isinstance(found[2].data, InventoryObserved)
    words = [row.server_id for row in found[2].data.servers]
    assert words == sorted(words)
    assert len(set(words)) == 30


def test_reasons_that_replay_reads_stay() -> None:
    create, other = create_server(), create_server("w2")
    delete = DeleteServer(uuid4(), Stage.INFRASTRUCTURE, T0, "secret-id")
    given = list(
        events(
            started(),
            create,
            Completion(create.step, StepOutcome.FAILED, "secret-id", FOUND_BY_MARK),
            other,
            Completion(other.step, StepOutcome.FAILED, None, "secret reason"),
            delete,
            Completion(delete.step, StepOutcome.SUCCEEDED, None, SOFTLY_DELETED),
            operation=uuid4(),
        )
    )
    found, _ = anonymised(given)
    reasons = [event.data.reason for event in found if isinstance(event.data, Completion)]
    assert reasons == [FOUND_BY_MARK, "text-1", SOFTLY_DELETED]
    assert lingers(fold(found).resources["id-1"])


def test_what_uses_something_and_is_no_server_is_told_as_such() -> None:
    row = ObservedResource(ResourceKind.VOLUME, "v", "v", "IN-USE", None, None, ("host h1", "somebody"))
    listing = InventoryObserved((), complete=True, as_of=0, began_at=T0, cloud=CLOUD, resources=(row,))
    found, _ = anonymised(list(events(started(), listing, operation=uuid4())))
    assert isinstance(found[1].data, InventoryObserved)
    assert found[1].data.resources[0].attached_to == ("id-1 (no server)", "id-2")


def test_a_keypair_is_called_by_its_id() -> None:
    create = CreateResource(uuid4(), Stage.INFRASTRUCTURE, T0, ResourceKind.KEYPAIR, "mine", "user-of-mine")
    made = Completion(create.step, StepOutcome.SUCCEEDED, resource_id="mine")
    found, _ = anonymised(list(events(started(), create, made, operation=uuid4())))
    assert isinstance(found[1].data, CreateResource)
    assert isinstance(found[2].data, Completion)
    assert found[1].data.name == found[2].data.resource_id == "id-1"


def exported(run: Run, path: Path, *options: object) -> str:
    code, out, err = run("journal", "export", *options, "-o", path)
    assert (code, out) == (0, "")
    return err


def test_an_anonymised_export_is_imported_and_replayed(filled: Run, tmp_path: Path) -> None:
    several = tmp_path / "several.jsonl"
    several.write_text(renamed(HISTORY.read_text(), "zebra") + renamed(HISTORY.read_text(), "ape"))
    assert filled("journal", "import", several)[0] == 0
    path, again = tmp_path / "incident.jsonl", tmp_path / "again.jsonl"
    err = exported(filled, path, "--anonymise", "--redact")
    assert err.splitlines()[-1] == "anonymised: the file cannot be restored over the original"
    code, out, _ = filled("replay", path, "-f", "json", "-c", "Cluster", "-c", "Verdict", "-c", "Action", "-c", "Evidence")
    rows = json.loads(out)
    assert code == 0
    assert list(dict.fromkeys(row["Cluster"] for row in rows)) == ["cluster-1", "cluster-2", "cluster-3"]
    given = json.loads(filled("replay", HISTORY, "-f", "json", "-c", "Verdict", "-c", "Action", "-c", "Evidence")[1])
    assert [{key: row[key] for key in row if key != "Cluster"} for row in rows] == 3 * given
    other = f"sqlite:///{tmp_path}/other.db"
    assert filled("journal", "upgrade", "--journal", other)[0] == 0
    assert filled("journal", "import", "--journal", other, path)[0] == 0
    assert filled("journal", "verify", "--journal", other)[0] == 0
    exported(filled, again, "--journal", other)
    assert again.read_bytes() == path.read_bytes()
    exported(filled, again, "--journal", other, "--anonymise")
    assert again.read_bytes() == path.read_bytes(), "words stand for themselves"


def test_one_cluster_to_standard_output(filled: Run, tmp_path: Path) -> None:
    code, out, err = filled("journal", "export", "c-1", "--redact", "--anonymise")
    assert (code, err) == (0, "anonymised: the file cannot be restored over the original\n")
    (tmp_path / "incident.jsonl").write_text(out)
    assert len(list(read_file(tmp_path / "incident.jsonl"))) == len(HISTORY.read_text().splitlines())


def test_an_empty_journal_is_an_empty_file(run: Run) -> None:
    assert run("journal", "upgrade")[0] == 0
    assert run("journal", "export", "--anonymise")[:2] == (0, "")
    assert run("journal", "export", "--redact")[:2] == (0, "")


@pytest.fixture
def leaky(filled: Run, tmp_path: Path) -> Run:
    """A journal with a cluster whose third event has a secret: it was written before there was a rule for that."""
    given = list(read_file(HISTORY))
    start = given[0].data
    assert isinstance(start, OperationStarted)
    data = [start, create_server(), Completion(UUID(int=0), StepOutcome.FAILED, None, "HTTP 401, password=hunter2")]
    data[2] = attrs.evolve(data[2], step=data[1].step)
    with Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal:
        assert isinstance(journal.clock, SystemClock)
        journal.store.append(events(*data, stream="leaky", operation=uuid4()), previous_hash="0" * 64, expected_epoch=1)
    return filled


def test_secrets_that_are_older_than_the_rule_are_taken_out(leaky: Run, tmp_path: Path) -> None:
    plain, path = tmp_path / "plain.jsonl", tmp_path / "redacted.jsonl"
    exported(leaky, plain)
    err = exported(leaky, path, "--redact")
    assert "secrets were taken out of 1 of 22 events" in err
    assert "it is no backup and cannot be restored over the original" in err
    before, after = list(read_file(plain)), list(read_file(path))
    differing = [(event.stream, event.version) for event, other in zip(before, after, strict=True) if event.hash != other.hash]
    assert differing == [("leaky", 3)]
    assert b"hunter2" in plain.read_bytes()
    assert b"hunter2" not in path.read_bytes()
    code, _, err = leaky("journal", "import", path)
    assert (code, "with another version 3" in err) == (2, True)
    exported(leaky, path, "--anonymise")
    assert b"hunter2" not in path.read_bytes()


def test_nothing_is_changed_where_there_is_no_secret(filled: Run, tmp_path: Path) -> None:
    plain, path = tmp_path / "plain.jsonl", tmp_path / "redacted.jsonl"
    exported(filled, plain)
    assert "nothing was taken out: the file is the same as without --redact" in exported(filled, path, "--redact")
    assert path.read_bytes() == plain.read_bytes()
