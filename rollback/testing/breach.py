"""What a test of a conductor fails with: where it was, what was violated, the journal in words, and how to see it again."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from journal.events import Event, Intent
from journal.wording import legible, told

MOST_LINES: Final = 40
"""How many events a failure shows."""
FIRST_LINES: Final = 8
"""How many of them are the first."""


class Breach(AssertionError):
    """The conductor, or what cleans up after it, does not hold what must hold."""

    def __init__(self, point: str, violated: Sequence[str], events: Sequence[Event], again: str) -> None:
        """`point`: where it was; `again`: how to run just that again, in words."""
        super().__init__("\n".join((f"{point}:", *(f"  - {what}" for what in violated), *in_words(events), again)))
        self.point = point
        self.violated = tuple(violated)
        self.events = tuple(events)


def in_words(events: Sequence[Event]) -> Iterator[str]:
    """Yield the journal in words, at a length that can be read."""
    if not events:
        yield "the journal is empty"
    lines = list(_lines(events))
    if len(lines) <= MOST_LINES:
        yield from lines
        return
    yield from lines[:FIRST_LINES]
    yield f"  … {len(lines) - MOST_LINES} more …"
    yield from lines[FIRST_LINES - MOST_LINES :]


def _lines(events: Iterable[Event]) -> Iterator[str]:
    intents: dict[object, Intent] = {}
    stream = None
    for event in events:
        data = event.data
        if isinstance(data, Intent):
            intents[data.step] = data
        intent = intents.get(getattr(data, "step", None))
        if stream != event.stream:
            yield f"the journal of {event.stream}:"
        yield f"  {event.version:>3}  {event.recorded_at:%H:%M:%S}  {legible(told(data, intent))}"
        stream = event.stream
