"""A timeline as lines of text for a terminal: one line for each step, its bar on the scale of its operation."""

from collections.abc import Iterator, Sequence
from typing import Final

import attrs
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from journal.events import StepOutcome
from journal.moments import took, written
from journal.wording import counted, legible
from projections.timeline import Bar, Mark, OperationBars, Scale, StageBars, Timeline, cells_of, crowd

NARROWEST: Final = 40
"""In fewer columns than that nothing can be told; lines are wider then than what they are for."""
_INDENT: Final = "  "
_TOOK: Final = 8
_OUTCOME: Final = 14
_MOST_OF_LABEL: Final = 44
_SHORTEST: Final = 4
"""What is cut in its middle has more cells left than that."""


@attrs.frozen
class Glyphs:
    """What bars are drawn with."""

    done: str
    failed: str
    absent: str
    open: str
    goes_on: str
    mark: str
    cut: str
    line: str
    left: str
    right: str
    ellipsis: str
    dot: str
    at_most: str
    crowd: str
    """From nobody at work to the most that ever were."""


BLOCKS: Final = Glyphs("█", "▒", "░", "█", "▶", "◆", "╱", "─", "├", "┤", "…", "·", "≤", " ▁▂▃▄▅▆▇█")  # noqa: RUF001 (it is meant)
ASCII: Final = Glyphs("#", "x", ".", "=", ">", "*", "/", "-", "|", "|", "~", "-", "<=", " .:-=+*#@")

_STYLES: Final = {StepOutcome.SUCCEEDED: "green", StepOutcome.FAILED: "red", StepOutcome.ABSENT: "cyan"}
_OPEN: Final = "bold yellow"
_ENDED_WELL: Final = "succeeded"
_ALARMING: Final = frozenset({"error_recorded", "deletion_requested", "hold_placed", "ownership_taken"})


def glyphs(encoding: str) -> Glyphs:
    """Return the best glyphs that an encoding has."""
    try:
        "".join(attrs.astuple(BLOCKS)).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def chart(shown: Timeline, head: Sequence[str], *, width: int, encoding: str, utc: bool) -> Iterator[Text]:
    """Yield the lines of a timeline under a headline, none of them wider than `width`, unless that is less than NARROWEST."""
    drawing = _Drawing(max(width, NARROWEST), encoding, utc=utc)
    yield drawing.head(head)
    if shown.operations_left_out:
        yield Text(f"{counted(shown.operations_left_out, 'earlier operation')} left out", "dim")
    if shown.between_left_out:
        yield Text(f"{counted(shown.between_left_out, 'earlier event')} between operations left out", "dim")
    before: OperationBars | Mark | None = None
    for part in shown.parts:
        if not (isinstance(part, Mark) and isinstance(before, Mark)):
            yield Text()
        before = part
        match part:
            case OperationBars():
                yield from drawing.operation(part)
            case Mark():
                yield from drawing.told(drawing.time(part), part)


class _Drawing:
    def __init__(self, width: int, encoding: str, *, utc: bool) -> None:
        self._width, self._encoding, self._utc = width, encoding, utc
        self._glyphs = glyphs(encoding)
        narrow = width - 2 * len(_INDENT) - _TOOK - _OUTCOME - 3
        self._label = min(_MOST_OF_LABEL, narrow * 52 // 100) if narrow > 0 else 8
        self._cells = max(6, width - 2 * len(_INDENT) - self._label - _TOOK - _OUTCOME - 4)

    def head(self, told: Sequence[str]) -> Text:
        """Return the headline: the first of what it tells stands out."""
        dot = f" {self._glyphs.dot} "
        return self._line((told[0], "bold"), *((f"{dot}{what}", "") for what in told[1:]))

    def operation(self, shown: OperationBars) -> Iterator[Text]:
        """Yield the lines of an operation."""
        scale = shown.scale
        yield self._what(shown)
        yield self._how(shown)
        if shown.reason:
            yield self._line((_INDENT, ""), (shown.reason, "dim"))
        yield self._ruler(shown, scale)
        for stage in shown.stages:
            yield from self._stage(stage, scale)
        if shown.marks_left_out:
            yield self._line((f"{_INDENT}{counted(shown.marks_left_out, 'earlier event')} left out", "dim"))
        for mark in shown.marks:
            yield from self.told(f"+{took(mark.at - shown.began_at)}", mark)

    def _what(self, shown: OperationBars) -> Text:
        ended = shown.outcome if shown.cluster_status is None else f"{shown.outcome}, cluster {shown.cluster_status}"
        style = "bold green" if shown.outcome == _ENDED_WELL else "bold red" if shown.is_finished else _OPEN
        return self._line((f"{shown.kind} {str(shown.id)[:8]}", "bold"), (f" {self._glyphs.dot} ", "dim"), (ended, style))

    def _how(self, shown: OperationBars) -> Text:
        how_long = took(shown.lasted) if shown.is_finished else f"{took(shown.lasted)} so far"
        facts = (written(shown.began_at, utc=self._utc), how_long, counted(shown.steps, "step"), f"by {shown.conductor}")
        return self._line((_INDENT + f" {self._glyphs.dot} ".join(facts), "dim"))

    def _ruler(self, shown: OperationBars, scale: Scale) -> Text:
        glyphs = self._glyphs
        cells = [glyphs.left, *glyphs.line * (self._cells - 2), glyphs.right]
        for cut in scale.cuts:
            cells[cells_of((cut.place, cut.place), self._cells)[0]] = glyphs.cut
        for mark in shown.marks:
            place = scale.place(mark.at)
            cells[cells_of((place, place), self._cells)[0]] = glyphs.mark
        total = f"+{took(shown.lasted)}"
        cuts = ", ".join(f"{glyphs.cut} {took(cut.length)} of silence" for cut in scale.cuts[:1])
        if len(scale.cuts) > 1:
            cuts = f"{glyphs.cut} {len(scale.cuts)} silences"
        label = self._fitted(cuts, self._label + len(_INDENT))
        return Text.assemble((f"{_INDENT}{label} ", "dim"), ("".join(cells), "dim"), (f" {total:>{_TOOK}}", "dim"))

    def _stage(self, stage: StageBars, scale: Scale) -> Iterator[Text]:
        most = f" {self._glyphs.dot} up to {stage.lanes} at a time" if stage.lanes > 1 else ""
        yield self._line((f"{_INDENT}{stage.stage}", "bold"), (most, "dim"))
        for bar in stage.bars:
            yield self._bar(bar, scale)
            if bar.reason:
                yield self._line((2 * _INDENT, ""), (f"  {bar.reason}", "dim"))
        if stage.left_out:
            yield self._crowd(stage, scale)

    def _bar(self, bar: Bar, scale: Scale) -> Text:
        glyphs = self._glyphs
        first, last = cells_of(scale.span(bar), self._cells)
        style = _OPEN if bar.is_open else _STYLES[StepOutcome(bar.outcome)]
        length = last - first + 1
        if bar.is_open:
            drawn = glyphs.open * (length - 1) + glyphs.goes_on
        else:
            by_outcome = {StepOutcome.SUCCEEDED: glyphs.done, StepOutcome.FAILED: glyphs.failed}
            drawn = by_outcome.get(StepOutcome(bar.outcome), glyphs.absent) * length
        lasted = f">{took(bar.lasted)}" if bar.is_open else took(bar.lasted)
        return self._row(self._label_of(bar), " " * first + drawn, style, lasted, bar.outcome)

    def _crowd(self, stage: StageBars, scale: Scale) -> Text:
        """Return one line for the bars that there is no room for: how many were at work, over time."""
        counts = crowd(stage.left_out, scale, self._cells)
        levels = self._glyphs.crowd
        most = max(counts)
        drawn = "".join(levels[-(-count * (len(levels) - 1) // most)] for count in counts)
        outcomes = {bar.outcome for bar in stage.left_out}
        outcome = outcomes.pop() if len(outcomes) == 1 else "see --limit"
        slowest = max(bar.lasted for bar in stage.left_out)
        how_many = f"{len(stage.left_out)} more" if stage.bars else counted(len(stage.left_out), "step")
        at_once = f", {self._glyphs.at_most}{most} at once" if most > 1 else ""
        label = how_many + at_once if len(how_many + at_once) <= self._label else how_many
        return self._row(self._fitted(label, self._label), drawn, "dim", f"{self._glyphs.at_most}{took(slowest)}", outcome)

    def _row(self, label: str, drawn: str, style: str, lasted: str, outcome: str) -> Text:
        bar = drawn + " " * (self._cells - len(drawn))
        return Text.assemble(2 * _INDENT, label, " ", (bar, style), f" {lasted:>{_TOOK}} ", (outcome, style))

    def _label_of(self, bar: Bar) -> str:
        """Return what a step does, and to what: names that begin alike are told apart by their ends."""
        action, what = self._encoded(bar.action), self._encoded(bar.subjects[0])
        more = f" +{len(bar.subjects) - 1}" if len(bar.subjects) > 1 else ""
        left = self._label - cell_len(action) - 1 - len(more)
        if left > _SHORTEST:
            return self._fitted(f"{action} {self._shortened(what, left)}{more}", self._label)
        return self._fitted(self._shortened(f"{action} {what}{more}", self._label), self._label)

    def _shortened(self, text: str, cells: int) -> str:
        """Return a text without its middle, if it is too long."""
        if cell_len(text) <= cells:
            return text
        head = cells // 3
        return text[:head] + self._glyphs.ellipsis + text[len(text) - (cells - head - 1) :]

    def time(self, mark: Mark) -> str:
        """Return when a mark was, in full."""
        return written(mark.at, utc=self._utc)

    def told(self, when: str, mark: Mark) -> Iterator[Text]:
        """Yield the lines that tell of a mark: as many as its words need."""
        style = "red" if mark.type in _ALARMING else ""
        lead = f"{_INDENT}{self._glyphs.mark} {when:<{_TOOK}} "
        wide = self._width - len(lead)
        for number, words in enumerate(_wrapped(self._encoded(mark.what), wide)):
            yield Text.assemble((lead if number == 0 else " " * len(lead), style or "dim"), (words, style))

    def _line(self, *parts: tuple[str, str]) -> Text:
        """Return parts of text with their styles as one line that fits."""
        left, fitted = self._width, []
        for text, style in parts:
            shown = self._encoded(text)
            if cell_len(shown) > left:
                shown = self._fitted(text, left).rstrip()
            fitted.append((shown, style))
            left -= cell_len(shown)
        return Text.assemble(*fitted)

    def _fitted(self, text: str, width: int) -> str:
        shown = self._encoded(text)
        if cell_len(shown) <= width:
            return set_cell_size(shown, width)
        return set_cell_size(shown, width - 1) + self._glyphs.ellipsis if width > 0 else ""

    def _encoded(self, text: str) -> str:
        """Return a text as the encoding can tell it."""
        replacement = "?" if self._glyphs is ASCII else "\N{REPLACEMENT CHARACTER}"
        return legible(text, replacement).encode(self._encoding, "backslashreplace").decode(self._encoding)


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Yield a text in lines that are no wider, broken at spaces where there are any."""
    rest = text
    while cell_len(rest) > width:
        head = _longest(rest, width)
        end = head.rfind(" ") if " " in head[1:] and not rest[len(head) :].startswith(" ") else len(head)
        yield rest[:end].rstrip()
        rest = rest[end:].lstrip()
    yield rest


def _longest(text: str, width: int) -> str:
    head = text[:width]
    while cell_len(head) > width:
        head = head[:-1]
    return head
