"""What a person chose for one compensation: how much it may delete, what of it, and by which plan. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, Self

import attrs

from journal.events import OperatorResolved, PlanAction, PlanMade, PlannedVerdict, ResourceKind, StepOutcome, Word
from projections.fold import History, Resource
from projections.origin import Kind, Origin, Origins
from projections.verdicts import Verdict
from rollback.errors import ChoiceRefused
from rollback.plan import Plan

_PERCENT: Final = 100


@attrs.frozen
class Most:
    """How many servers and other resources one compensation may delete: a number, or a share of what the cluster has."""

    number: int = 0
    percent: float | None = None

    @classmethod
    def read(cls, text: str) -> Self:
        """Read `5` or `20%`. Raises ValueError."""
        found = cls(percent=float(text.removesuffix("%"))) if text.endswith("%") else cls(int(text))
        if found.number < 0 or (found.percent is not None and not 0 <= found.percent <= _PERCENT):
            msg = "expected a number, or a share of at most 100%"
            raise ValueError(msg)
        return found

    def of(self, there: int) -> int:
        """Return the number for a cluster that has so many."""
        return self.number if self.percent is None else int(there * self.percent / _PERCENT)

    def __str__(self) -> str:
        return str(self.number) if self.percent is None else f"{self.percent:g}%"


@attrs.frozen
class Choice:
    """What a person chose. Without a choice, the plan is carried out as it is made."""

    most: Most | None = None
    """None: as many as the operation created or declared; in a delete, as many as the cluster has."""
    only: Collection[str] = ()
    """The ids of all that is to be deleted of what the plan deletes; empty for all of it."""
    keep: Collection[str] = ()
    """The ids of what is to be kept although the plan deletes it."""
    by: str = ""
    """Who chose: of `only` and `keep` the journal is told, as of an operator's word."""
    reason: str = ""
    plan: PlanMade | None = None
    """The plan that was looked at. Another one is not carried out."""
    confirmed: Collection[str] | None = None
    """The ids of all that a person has looked at and said may be deleted: nothing else is. None: nobody was to be asked."""
    for_deletion: bool = False
    """Whether what was looked at is the deletion of a cluster whose record is gone; without having been asked it is, too."""

    def __attrs_post_init__(self) -> None:
        if (self.only or self.keep) and not self.by:
            msg = "say who chose (`by`): the journal records it as this person's word"
            raise ValueError(msg)

    def refuse(self, now: Plan) -> None:
        """Raise ChoiceRefused where something was named that the plan does not have, or would not delete."""
        unknown = sorted({*self.only, *self.keep} - {verdict.id for verdict in now.verdicts})
        if unknown:
            raise ChoiceRefused(now.stream, f"the plan says nothing of {', '.join(unknown)}")
        safe = [v for v in now.verdicts if v.id in self.only and v.action is not PlanAction.DELETE]
        if safe:
            rows = [f"{v.kind} {v.id}: {v.action} ({v.verdict}), because {v.because}" for v in safe]
            raise ChoiceRefused(now.stream, "the plan does not delete all of what was named", rows)

    def refuse_another(self, chosen: Plan) -> None:
        """Raise ChoiceRefused where the plan, with what was chosen in it, is not the one that was looked at."""
        changes = [] if self.plan is None else list(differences(self.plan, chosen))
        if changes:
            raise ChoiceRefused(chosen.stream, "the plan is not the one that was looked at", changes)

    @property
    def may_ask_for_deletion(self) -> bool:
        """Whether the deletion of a cluster may be asked for because its record is gone."""
        return self.confirmed is None or self.for_deletion

    def unconfirmed(self, due: Iterable[Verdict]) -> frozenset[str]:
        """Return which of what is to be deleted nobody has said yes to, although somebody was asked."""
        if self.confirmed is None:
            return frozenset()
        return frozenset(verdict.id for verdict in due if verdict.id is not None).difference(self.confirmed)

    def words(self, now: Plan) -> list[OperatorResolved]:
        """Return the operator's words that make the plan one that keeps what is to be kept."""
        due = {verdict.id: verdict for verdict in now.having(PlanAction.DELETE) if verdict.id is not None}
        kept = sorted(id_ for id_ in due if id_ in self.keep or (self.only and id_ not in self.only))
        ids = (due[id_].ids for id_ in kept)
        return [OperatorResolved(Word.UNSAFE, self.by, self.reason, server, None, other) for server, other in ids]

    def objection(self, history: History, now: Plan, asked_for: Collection[str]) -> str | None:
        """Return why a plan is not carried out: it deletes more than it may. `asked_for`: what was deleted already."""
        due = {verdict.id for verdict in now.having(PlanAction.DELETE)}
        if self.plan is not None:
            looked_at = {row.id for row in self.plan.verdicts if row.action is PlanAction.DELETE}
            more = sorted(id_ for id_ in due - looked_at if id_ is not None)
            if more:
                return f"the plan that was looked at does not delete {', '.join(more)}"
        there = {verdict.id for verdict in now.verdicts if verdict.id and verdict.action is not PlanAction.NONE}
        count = len(due | set(asked_for))
        most = expected(history) if self.most is None else self.most.of(len(there | set(asked_for)))
        if count <= most:
            return None
        said = f"--max-deletions {self.most} allows" if self.most else "the operation created or declared"
        what = "servers" if {r.kind for r in history.resources.values()} == {ResourceKind.SERVER} else "resources"
        return f"{count} {what} are to be deleted, more than the {most} that {said}. To allow it: --max-deletions {count}"


NO_CHOICE: Final = Choice()


def expected(history: History) -> int:
    """Return how much a compensation is expected to delete at most, whatever its plan says.

    Those that the unfinished operation created, its victims, what was created twice, too late or in vain, and what an
    operator spoke of; where deletion stands, all of the cluster.
    """
    if history.deletion_asked is not None:
        return len(history.resources)
    where = Origins(history)
    return sum(_is_expected(history, resource, where.of(resource)) for resource in history.resources.values())


def _is_expected(history: History, resource: Resource, origin: Origin) -> bool:
    if resource.words or any(operation in resource.victim_of for operation in history.in_unfinished):
        return True
    create = origin.created_by
    if create is None:
        return False
    return create.operation in history.in_unfinished or origin.kind is Kind.REPEATED or not create.ended_as(StepOutcome.SUCCEEDED)


def differences(before: PlanMade, now: Plan) -> Iterator[str]:
    """Yield what a plan decides otherwise than the one before, in a line each."""
    old, new = _rows(before.verdicts), _rows(now.verdicts)
    for key in sorted(old.keys() | new.keys()):
        was, is_ = _decision(old.get(key)), _decision(new.get(key))
        if was != is_:
            yield f"{key}: {was} → {is_}"
    if before.cluster_status is not now.cluster_status:
        yield f"the cluster becomes {before.cluster_status} → {now.cluster_status}"


def _rows(verdicts: Collection[Verdict] | Collection[PlannedVerdict]) -> Mapping[str, Verdict | PlannedVerdict]:
    return {f"{v.kind} {v.id}" if v.id else f"create {v.step}": v for v in verdicts}


def _decision(row: Verdict | PlannedVerdict | None) -> str:
    return "not in the plan" if row is None else f"{row.action} ({row.verdict})"
