"""What differs between the plans that two versions of this library make of one history, and what of it is worse. Pure.

The other version is known by what it prints: plan documents, of which only what every version has is read.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

import attrs

from journal.events import PlanAction, ResourceKind, VerdictName

UNLISTED: Final = "not listed"
"""What a plan says of something that has no row in it."""
REFUSED: Final = "refused"
REPLAYED: Final = "replayed"


class Harm(StrEnum):
    """In what way a change is worse for a user than what was before."""

    DELETES = "deletes"
    """It is deleted now, and was not: it may hold data."""
    LEAKS = "leaks"
    """It was deleted, looked for or kept, and now nobody accounts for it; or it was deleted, and stays without a word."""
    STATUS = "status"
    """The cluster becomes something else than before, which its users see."""
    REFUSES = "refuses"
    """The history cannot be read any more: its cluster cannot be compensated."""


@attrs.frozen
class PlannedRow:
    """One row of a plan document."""

    verdict: str
    action: str
    because: str
    server_id: str | None = None
    resource_id: str | None = None
    step: str | None = None
    kind: str = ResourceKind.SERVER

    @property
    def about(self) -> tuple[str, str]:
        """What it is of: its kind, and its id or, where there is none, its create."""
        return str(self.kind), self.server_id or self.resource_id or f"of create {self.step}"

    @property
    def decided(self) -> str:
        """What is said of it, and done about it."""
        return f"{self.verdict}, {self.action}"

    @property
    def is_accounted_for(self) -> bool:
        """Whether the journal answers for it: it is deleted, looked for, or kept as the cluster's."""
        return self.action != PlanAction.NONE and self.verdict != VerdictName.FOREIGN


@attrs.frozen
class PlanDocument:
    """What `provjournal replay --plan` prints of one cluster, as far as it is compared."""

    stream: str
    cluster_status: str
    verdicts: tuple[PlannedRow, ...]


@attrs.frozen
class Refusal:
    """A history could not be replayed."""

    reason: str


Outcome = Sequence[PlanDocument] | Refusal
"""What one version makes of a file: a plan for each cluster in it, or nothing."""


@attrs.frozen
class Change:
    """One difference: of a resource, of a cluster, or of a whole file (`cluster` is empty then)."""

    cluster: str
    kind: str
    id: str
    was: str
    now: str
    because: str
    harm: Harm | None


def changes(was: Outcome, now: Outcome) -> Iterator[Change]:
    """Yield what differs between what another version made of a file (`was`) and what this one makes of it (`now`).

    Reasons and evidence may differ, and the words of a refusal.
    """
    match was, now:
        case Refusal(), Refusal():
            return
        case _, Refusal(reason):
            yield Change("", "file", "", REPLAYED, REFUSED, reason, Harm.REFUSES)
        case Refusal(reason), _:
            yield Change("", "file", "", REFUSED, REPLAYED, f"it was refused because: {reason}", None)
        case _:
            assert not isinstance(was, Refusal)
            assert not isinstance(now, Refusal)
            before, after = _by_cluster(was), _by_cluster(now)
            for cluster in dict.fromkeys((*before, *after)):
                yield from _of_cluster(cluster, before.get(cluster), after.get(cluster))


def _by_cluster(documents: Sequence[PlanDocument]) -> dict[str, PlanDocument]:
    return {document.stream: document for document in documents}


def _of_cluster(cluster: str, was: PlanDocument | None, now: PlanDocument | None) -> Iterator[Change]:
    old_status, new_status = (UNLISTED if plan is None else plan.cluster_status for plan in (was, now))
    if old_status != new_status:
        yield Change(cluster, "cluster", "", old_status, new_status, "", Harm.STATUS)
    before, after = _by_resource(was), _by_resource(now)
    for kind, id_ in dict.fromkeys((*before, *after)):
        old, new = before.get((kind, id_)), after.get((kind, id_))
        said, says = (UNLISTED if row is None else row.decided for row in (old, new))
        if said != says:
            yield Change(cluster, kind, id_, said, says, "" if new is None else new.because, _harm(old, new))


def _by_resource(plan: PlanDocument | None) -> dict[tuple[str, str], PlannedRow]:
    return {} if plan is None else {row.about: row for row in plan.verdicts}


def _harm(was: PlannedRow | None, now: PlannedRow | None) -> Harm | None:
    """Return in what way another verdict is worse, or None: it is more careful, or a matter of words."""
    deleted = was is not None and was.action == PlanAction.DELETE
    if now is not None and now.action == PlanAction.DELETE and not deleted:
        return Harm.DELETES
    if was is not None and was.is_accounted_for and (now is None or not now.is_accounted_for):
        return Harm.LEAKS
    if deleted and now is not None and now.verdict == VerdictName.IN_SERVICE:
        return Harm.LEAKS
    return None
