"""A history, from a file or as events, replayed to state and plan: what most tests of a history begin with."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from journal.events import Event
from journal.files import read_file
from projections.fold import History
from rollback.plan import Plan, plan


@attrs.frozen
class Replayed:
    """What events replay to: a history and a plan for each cluster that they are of."""

    histories: Mapping[str, History]
    plans: Mapping[str, Plan]

    @property
    def cluster(self) -> str:
        """The one cluster. Raises ValueError if there are several, or none."""
        if len(self.histories) != 1:
            msg = f"the events are of {len(self.histories)} clusters ({', '.join(self.histories)}), not of one: choose by its id"
            raise ValueError(msg)
        return next(iter(self.histories))

    @property
    def history(self) -> History:
        """The state of the one cluster. Raises ValueError if there are several, or none."""
        return self.histories[self.cluster]

    @property
    def plan(self) -> Plan:
        """The plan of the one cluster. Raises ValueError if there are several, or none."""
        return self.plans[self.cluster]


def replay(source: Path | str | Iterable[Event]) -> Replayed:
    """Replay a history file, or events that passed the rules, such as those of a `HistoryBuilder`.

    Raises UnreadableFile, Malformed, OutOfOrder or BrokenChain for a file that the strict reader refuses.
    """
    folded: dict[str, History] = {}
    for event in events_of(source):
        folded.setdefault(event.stream, History()).apply(event)
    return Replayed(folded, {cluster: plan(history) for cluster, history in folded.items()})


def events_of(source: Path | str | Iterable[Event]) -> list[Event]:
    """Return the events of a file, or those that are given."""
    return list(read_file(Path(source)) if isinstance(source, Path | str) else source)
