"""What is left of a schedule that breached an invariant: its shortest form, its history in words, and a test that fails."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Final

import attrs

from journal.events import Event
from journal.wording import told
from simulate import oracle
from simulate.choices import Replayed, shrunk
from simulate.world import Outcome, play

MOST_TRIES: Final = 600
"""How many schedules shrinking may play."""
TEST: Final = '''"""Schedule {number} of seed {seed} breached an invariant.

{breaches}
"""

from simulate.choices import Replayed
from simulate.world import play

CHOICES = [
{choices}
]


def test_schedule_{number}_of_seed_{seed}_breaches_nothing() -> None:
    assert not play(Replayed(CHOICES)).breaches
'''


@attrs.frozen
class Failure:
    """A schedule that breached an invariant, shrunk."""

    seed: int
    number: int
    outcome: Outcome

    def __str__(self) -> str:
        """Return what it came to, in words."""
        happened = ", ".join(f"{fault} ({count})" for fault, count in sorted(self.outcome.counts.items()))
        return "\n".join(
            [
                f"schedule {self.number} of seed {self.seed}, shrunk to {len(self.outcome.made)} choices",
                *(f"  {breach}" for breach in self.outcome.breaches),
                *(f"  breached is {oracle.KINDS[kind]}" for kind in sorted(_kinds(self.outcome))),
                f"  what happened: {happened or 'nothing'}",
                *(f"  {line}" for line in in_words(self.outcome.events)),
            ]
        )

    def write(self, folder: Path) -> Path:
        """Write a test that fails as this schedule does."""
        path = folder / f"test_schedule_{self.number}_of_seed_{self.seed}.py"
        choices = fill(", ".join(map(str, self.outcome.made)), 120, initial_indent="    ", subsequent_indent="    ")
        breaches = "\n".join(self.outcome.breaches)
        path.write_text(TEST.format(number=self.number, seed=self.seed, breaches=breaches, choices=choices))
        return path


def failure(seed: int, number: int, made: Sequence[int]) -> Failure:
    """Return the shortest form that was found of a schedule that breached an invariant in the same way."""
    kinds = _kinds(play(Replayed(made)))

    def fails(choices: Sequence[int]) -> Sequence[int] | None:
        outcome = play(Replayed(choices))
        return outcome.made if _kinds(outcome) & kinds else None

    return Failure(seed, number, play(Replayed(shrunk(made, fails, MOST_TRIES))))


def in_words(events: Sequence[Event]) -> list[str]:
    """Return a history, one line an event."""
    steps = {event.data.step: event.data for event in events if event.type == "intent"}
    lines = []
    for event in events:
        said = told(event.data, steps.get(getattr(event.data, "step", None)))
        lines.append(f"{event.stream} {event.version:>3} {event.recorded_at:%d %H:%M:%S} {said}")
    return lines


def _kinds(outcome: Outcome) -> set[str]:
    return {breach.split(":")[0] for breach in outcome.breaches}
