"""Verdicts → plan: what to do about each resource, from which version of the stream, and what the cluster becomes."""

from typing import Any
from uuid import UUID

import attrs

from journal.codec import plain
from journal.events import ClusterStatus, PlanAction, PlanMade, PlannedVerdict, VerdictName
from projections.fold import History
from projections.status import cluster_status
from projections.verdicts import Verdict, verdicts


@attrs.frozen
class Plan:
    """The plan of one cluster, made from `version` of its stream. It is data: a stale one is refused, not applied."""

    stream: str
    operation: UUID | None
    version: int
    cluster_status: ClusterStatus
    verdicts: tuple[Verdict, ...]

    def having(self, *actions: PlanAction) -> tuple[Verdict, ...]:
        """Return the verdicts with one of these actions."""
        return tuple(verdict for verdict in self.verdicts if verdict.action in actions)

    @property
    def kept(self) -> tuple[Verdict, ...]:
        """What is kept as unsafe, for a person to decide."""
        return tuple(verdict for verdict in self.verdicts if verdict.verdict is VerdictName.UNSAFE)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to delete and nothing in doubt."""
        return not self.having(PlanAction.DELETE, PlanAction.FIND)

    def differs_from(self, recorded: PlanMade | None) -> bool:
        """Whether this plan decides anything else than a recorded one; reasons may have changed."""
        if recorded is None or recorded.cluster_status is not self.cluster_status:
            return True
        return [_decided(row) for row in self.verdicts] != [_decided(row) for row in recorded.verdicts]

    def as_event(self) -> PlanMade:
        """Return the plan as the journal records it."""
        return PlanMade(tuple(map(_recorded, self.verdicts)), self.cluster_status)

    def document(self) -> dict[str, Any]:
        """Return the plan document: `plan_made`, and what it was made from, as JSON values."""
        operation = None if self.operation is None else str(self.operation)
        return {"stream": self.stream, "operation": operation, "version": self.version, **plain(self.as_event())}


def plan(history: History) -> Plan:
    """Return what replay of the history says should be done. Pure: no cloud, no clock, no database."""
    found = verdicts(history)
    operation = None if history.unfinished is None else history.unfinished.id
    return Plan(history.stream, operation, history.version, cluster_status(history, found), found)


def _recorded(found: Verdict) -> PlannedVerdict:
    server_id, resource_id = found.ids
    decided = (found.step, found.name, found.verdict, found.action, found.because, found.evidence)
    return PlannedVerdict(server_id, *decided, found.kind, resource_id)


def _decided(row: Verdict | PlannedVerdict) -> tuple[str | None, UUID | None, VerdictName, PlanAction]:
    return row.id, row.step, row.verdict, row.action
