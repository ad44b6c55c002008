"""What differs between two points of one cluster's history."""

from collections.abc import Iterator

import attrs

from projections.fold import History
from projections.status import cluster_status, past_status
from projections.verdicts import Verdict, verdicts


@attrs.frozen
class Difference:
    """One thing that differs. What was not there before, or is not there after, is empty."""

    what: str
    before: str
    after: str


def differences(before: History, after: History) -> Iterator[Difference]:
    """Yield what differs: the cluster itself, then each resource by its verdict."""
    found_before, found_after = verdicts(before), verdicts(after)
    told_before, told_after = _of_cluster(before, found_before), _of_cluster(after, found_after)
    yield from _compared(told_before, told_after)
    yield from _compared(_of_resources(found_before), _of_resources(found_after))


def _compared(before: dict[str, str], after: dict[str, str]) -> Iterator[Difference]:
    for what in dict.fromkeys((*before, *after)):
        if before.get(what) != after.get(what):
            yield Difference(what, before.get(what, ""), after.get(what, ""))


def _of_cluster(history: History, found: tuple[Verdict, ...]) -> dict[str, str]:
    operation = history.unfinished
    return {
        "status": past_status(history),
        "would become": str(cluster_status(history, found)),
        "unfinished operation": "" if operation is None else f"{operation.kind} {operation.id}",
        "furthest stage": "" if operation is None else str(operation.furthest_stage or "none"),
        "unfinished steps": str(sum(1 for _ in history.unfinished_steps)),
        "owner": history.owner or "",
        "epoch": str(history.epoch),
        "hold": "" if history.hold is None else f"{history.hold.by}: {history.hold.reason}",
        "deletion requested": "no" if history.deletion_asked is None else "yes",
        "last error": history.errors[-1] if history.errors else "",
    }


def _of_resources(found: tuple[Verdict, ...]) -> dict[str, str]:
    return {verdict.about: f"{verdict.verdict} → {verdict.action}: {verdict.because}" for verdict in found}
