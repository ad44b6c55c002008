"""What a run is told as: tables for people, and one JSON document."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from benchmarks.contest import Outcome, Spread
from benchmarks.contestants import RAW
from benchmarks.measures import Target

CANNOT: Final = "–"
BEGIN: Final = "<!-- results, written by make bench -->"
END: Final = "<!-- end of results -->"
ENGINES: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "galera": "Galera", "": ""}


def report(described: Mapping[str, str], facts: Mapping[str, Mapping[str, str]], outcomes: Sequence[Outcome]) -> str:
    """Return everything as Markdown."""
    parts = [described_as(described, facts), "### Targets", summary(outcomes), "### Every measure"]
    for outcome in outcomes:
        parts += [f"#### {heading(outcome)}", table_of(outcome), *notes(outcome)]
    return "\n\n".join(parts)


def described_as(described: Mapping[str, str], facts: Mapping[str, Mapping[str, str]]) -> str:
    """Return machine and databases as a table."""
    rows = [*described.items()]
    rows += [(ENGINES[name], ", ".join(f"{key} {value}" for key, value in found.items())) for name, found in facts.items()]
    return table(("what", "which"), rows, numbers=0)


def heading(outcome: Outcome) -> str:
    """Return what was measured, and on what."""
    return outcome.measure.title + (f", {ENGINES[outcome.engine]}" if outcome.engine else "")


def summary(outcomes: Iterable[Outcome]) -> str:
    """Return every target, what was reached, and whether it is met."""
    rows = [
        (
            heading(outcome),
            target.told(outcome.measure.unit),
            told_spread(outcome.reached(target)),
            best_peer(outcome) if target.of == RAW else "",
            verdict(target, outcome.reached(target)),
        )
        for outcome in outcomes
        for target in outcome.targets
    ]
    return table(("measure", "target", "reached (least–most)", "best peer", ""), rows, numbers=0)


def verdict(target: Target, reached: Spread | None) -> str:
    """Return whether a target is met by the middle of the rounds."""
    if reached is None:
        return "not measured"
    return "met" if target.is_met(reached.median) else "missed"


def best_peer(outcome: Outcome) -> str:
    """Return the best ratio to the raw driver of any peer."""
    found = [(one.name, outcome.ratios(one.name)) for one in outcome.contestants if one.peer is not None]
    there = [(spread.median, name) for name, spread in found if spread is not None]
    if not there:
        return CANNOT
    ratio, name = min(there) if outcome.measure.cost else max(there)
    return f"{told(ratio)} {name}"


def table_of(outcome: Outcome) -> str:
    """Return what each contestant came to."""
    has_commits, has_syncs = bool(outcome.commits), any("syncs" in found for found in outcome.commits.values())
    head = ["contestant", outcome.measure.unit, "× raw driver", "least", "most"]
    head += ["commits each"] * has_commits + ["waits for the disk each"] * has_syncs
    rows = []
    for one in outcome.contestants:
        values, ratios, commits = outcome.values(one.name), outcome.ratios(one.name), outcome.commits.get(one.name, {})
        row = [one.name, _missing(outcome, one.name) if values is None else told(values.median)]
        row += [CANNOT] * 3 if ratios is None else [told(ratios.median), told(ratios.least), told(ratios.most)]
        row += [_figure(commits, "transactions")] * has_commits + [_figure(commits, "syncs")] * has_syncs
        rows.append(row)
    return table(head, rows)


def _figure(figures: Mapping[str, float], name: str) -> str:
    return told(figures[name]) if name in figures else CANNOT


def _missing(outcome: Outcome, name: str) -> str:
    if name in outcome.problems:
        return "failed"
    return "too slow" if name in outcome.too_slow else CANNOT


def notes(outcome: Outcome) -> Sequence[str]:
    """Return what a reader should know of contestants, and what their connections say of durability."""
    shown = [one for one in outcome.contestants if outcome.values(one.name) is not None]
    lines = [f"- {one.name}: {one.note}." for one in shown if one.note]
    lines += [f"- {name}: {_said(said)}." for name, said in outcome.settings.items() if said]
    lines += [f"- {name} failed: {problem.strip().splitlines()[-1]}" for name, problem in outcome.problems.items()]
    return ("\n".join(lines),) if lines else ()


def _said(settings: Mapping[str, Any]) -> str:
    if settings == {"weaknesses": []}:
        return "no setting under which what was acknowledged could be lost"
    return ", ".join(f"{name} is {value}" for name, value in settings.items())


def document(
    described: Mapping[str, str],
    facts: Mapping[str, Mapping[str, str]],
    arguments: Mapping[str, Any],
    outcomes: Sequence[Outcome],
) -> dict[str, Any]:
    """Return everything as JSON values."""
    return {
        "machine": dict(described),
        "databases": {name: dict(found) for name, found in facts.items()},
        "arguments": dict(arguments),
        "measures": [_document(outcome) for outcome in outcomes],
    }


def _document(outcome: Outcome) -> dict[str, Any]:
    measure = outcome.measure
    targets = [
        {
            "target": target.told(measure.unit),
            "reached": _spread(outcome.reached(target)),
            "verdict": verdict(target, outcome.reached(target)),
        }
        for target in outcome.targets
    ]
    contestants = {
        one.name: {
            "values": [values.get(one.name) for values in outcome.rounds],
            "value": _spread(outcome.values(one.name)),
            "ratio": _spread(outcome.ratios(one.name)),
            "commits": outcome.commits.get(one.name),
            "settings": outcome.settings.get(one.name),
            "problem": outcome.problems.get(one.name),
        }
        for one in outcome.contestants
    }
    return {
        "name": measure.name,
        "title": measure.title,
        "engine": outcome.engine,
        "unit": measure.unit,
        "less is better": measure.cost is not None,
        "targets": targets,
        "contestants": contestants,
    }


def _spread(spread: Spread | None) -> dict[str, float] | None:
    return None if spread is None else attrs.asdict(spread)


def told_spread(spread: Spread | None) -> str:
    """Return a middle with how far values lie apart."""
    return CANNOT if spread is None else f"{told(spread.median)} ({told(spread.least)}–{told(spread.most)})"


def told(value: float) -> str:
    """Return a figure with as many places as are worth reading."""
    if 0 < abs(value) < 0.1:  # noqa: PLR2004 (below it two places say little)
        return f"{value:.2g}"
    hundred, ten = 100, 10
    return f"{value:,.0f}" if abs(value) >= hundred else f"{value:.1f}" if abs(value) >= ten else f"{value:.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 1) -> str:
    """Return a Markdown table; from column `numbers` on values stand to the right, if that is not 0."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    right = [bool(numbers) and column >= numbers for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if is_right else cell.ljust(width) for cell, width, is_right in zip(row, widths, right, strict=True)
        )
        return f"| {' | '.join(cells)} |"

    rule = "|".join("-" * (width + 1) + (":" if is_right else "-") for width, is_right in zip(widths, right, strict=True))
    return "\n".join([line(head), f"|{rule}|", *map(line, rows)])


def put_into(page: str, results: str) -> str:
    """Return a page with these results in place of those between its marks. Raises ValueError if it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        msg = f"the page has no {BEGIN} with an {END} behind it"
        raise ValueError(msg)
    return f"{before}{begin}\n\n{results}\n\n{end}{after}"
