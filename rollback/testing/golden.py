"""Golden plans: the plan document beside a history file, and in words what is not any more as it says."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from journal.files import replaced
from rollback.compatibility import Change, Harm, PlanDocument, changes
from rollback.testing.replaying import replay

UPDATE: Final = "pytest --update-plans"
_HARM: Final = {
    Harm.DELETES: "it is deleted now, and was not: it may hold data",
    Harm.LEAKS: "nobody accounts for it now",
    Harm.STATUS: "users see another status",
    Harm.REFUSES: "the history cannot be read",
}


def plan_file(history: Path) -> Path:
    """Return where the golden plan of a history file is: `incident-42.plan.json` beside `incident-42.jsonl`."""
    return history.with_suffix(".plan.json")


def check_plan(history: Path, again: str = UPDATE) -> None:
    """Compare what a history file replays to with its golden plan.

    Verdicts, actions and cluster statuses count; reasons and evidence may change, as from one version of the library to
    the next. `again`: the command that writes the plan. Raises AssertionError, with what changed in words, and JournalError
    where the history is refused.
    """
    golden, now = plan_file(history), _documents(history)
    if not golden.exists():
        msg = f"{history.name} has no golden plan. This writes {golden.name}, to be read before it is kept:\n  {again}"
        raise AssertionError(msg)
    was = _read(golden)
    changed = list(changes(_compared(was, golden), _compared(now, history)))
    if changed:
        first = f"{history.name} does not replay to its golden plan {golden.name} any more"
        msg = "\n".join([first, *_told(changed, was, now), f"If this is what you want:\n  {again}"])
        raise AssertionError(msg)


def update_plan(history: Path) -> str | None:
    """Write the golden plan of a history file unless it is there as it should be; return what was done in words.

    Raises JournalError where the history is refused, OSError where the plan cannot be written.
    """
    golden, now = plan_file(history), _documents(history)
    was_there = golden.exists()
    text = json.dumps(now[0] if len(now) == 1 else now, indent=1, ensure_ascii=False) + "\n"
    if was_there and golden.read_text(encoding="utf-8") == text:
        return None
    with replaced(golden) as file:
        file.write(text.encode())
    return f"{'updated' if was_there else 'wrote'} {golden}"


def _documents(history: Path) -> list[dict[str, Any]]:
    return [made.document() for made in replay(history).plans.values()]


def _read(golden: Path) -> list[dict[str, Any]]:
    """Return the plan documents of a file: one, a list of them, or one a line as `provjournal replay --plan` prints them."""
    text = golden.read_text(encoding="utf-8")
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = [json.loads(line) for line in text.splitlines()]
        except ValueError as error:
            raise AssertionError(_no_plan(golden, error)) from error
    return found if isinstance(found, list) else [found]


def _compared(documents: Sequence[Mapping[str, Any]], file: Path) -> list[PlanDocument]:
    try:
        return msgspec.convert(documents, list[PlanDocument])
    except msgspec.ValidationError as error:
        raise AssertionError(_no_plan(file, error)) from error


def _no_plan(file: Path, error: Exception) -> str:
    return f"{file} is no plan document: {error}. `{UPDATE}` writes it anew"


def _told(changed: Sequence[Change], was: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield in words what changed, cluster by cluster."""
    before, after = _rows(was), _rows(now)
    for cluster in dict.fromkeys(change.cluster for change in changed):
        yield f"cluster {cluster}:"
        for change in (change for change in changed if change.cluster == cluster):
            key = cluster, change.kind, change.id
            old, new = before.get(key), after.get(key)
            name = (new or old or {}).get("name")
            what = (
                "the cluster becomes:" if change.kind == "cluster" else f"{change.kind} {name or 'without a name'} ({change.id}):"
            )
            yield f"  {what} was {change.was} → is {change.now}"
            if change.harm is not None:
                yield f"    worse: {_HARM[change.harm]}"
            reasons = [(f"{tense} because", _reason(row)) for tense, row in (("was", old), ("is", new)) if row is not None]
            if len({reason for _, reason in reasons}) < len(reasons):
                reasons = [("because", reasons[0][1])]
            yield from (f"    {said} {reason}" for said, reason in reasons)


def _rows(documents: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    """Return the rows by what `changes` calls them."""
    compared = msgspec.convert(documents, list[PlanDocument])
    pairs = zip(documents, compared, strict=True)
    return {
        (plan.stream, *row.about): told
        for document, plan in pairs
        for told, row in zip(document["verdicts"], plan.verdicts, strict=True)
    }


def _reason(row: Mapping[str, Any]) -> str:
    evidence = ", ".join(map(str, row.get("evidence", ())))
    return f"{row['because']} (evidence {evidence})"
