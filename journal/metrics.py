"""What Prometheus asks a service for: how much is unfinished, and what was counted.

prometheus_client.REGISTRY.register(JournalMetrics(journal))
"""

from typing import TYPE_CHECKING, Any, Final

from journal.journal import Journal
from journal.telemetry import Count, counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

_MEANING: Final = {
    Count.COMPENSATIONS: "Compensations that this process has begun.",
    Count.DELETIONS: "Servers and other resources that this process has deleted in compensations.",
    Count.FENCED_APPENDS: "Appends of this process that were refused because another owner had taken the stream over.",
}


class JournalMetrics:
    """A collector for `prometheus_client`. It asks the journal each time it is asked itself."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def collect(self) -> "Iterator[Metric]":
        """Yield the metrics. Raises ModuleNotFoundError without `prometheus_client`, StoreUnavailable without the journal."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 (optional)

        now = self._journal.clock.now()
        begun = [step.recorded_at for step in self._journal.store.unfinished_steps()]
        running = sum(head.operation is not None for head in self._journal.store.heads(unsettled=True, damaged=[]))
        age = max(((now - at).total_seconds() for at in begun), default=0.0)
        yield GaugeMetricFamily("provjournal_unfinished_operations", "Operations that have not ended.", value=running)
        yield GaugeMetricFamily("provjournal_unfinished_steps", "Intents without a completion.", value=len(begun))
        yield GaugeMetricFamily("provjournal_oldest_unfinished_seconds", "Age of the oldest unfinished step.", value=age)
        for what, number in counts().items():
            yield CounterMetricFamily(f"provjournal_{what}", _MEANING[what], value=number)

    def describe(self) -> list[Any]:
        """Return nothing: registering a collector asks the journal for nothing."""
        return []
