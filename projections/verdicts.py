"""The verdict table: what replay says of each server and of what it brings along, why, and by which events.

`TABLE` is the policy as data: one row of the design's table is one `Row` here, and the first that applies decides. A
row first asks the history, as a `Reading`, then a `Case`, which holds one resource of it with what `origin`, `presence`
and `standing` make of that.

What a server brings along is judged by the rows that servers are judged by. One more row, which is asked last, withholds
what a server that stays still uses.
"""

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Final
from uuid import UUID

import attrs

from journal.events import (
    Create,
    Decommission,
    OperationKind,
    OperationOutcome,
    PlanAction,
    ResourceKind,
    Stage,
    StepOutcome,
    VerdictName,
)
from projections.cases import Case, Reading
from projections.fold import History
from projections.left_over import can_be_left_over
from projections.origin import TIMELESS, Kind
from projections.presence import can_be_gone
from projections.standing import DELETES
from projections.users import named

DELETE, KEEP, FIND, NOTHING = PlanAction.DELETE, PlanAction.KEEP, PlanAction.FIND, PlanAction.NONE
NEW, UNNEEDED, UNSAFE, IN_SERVICE = VerdictName.NEW, VerdictName.UNNEEDED, VerdictName.UNSAFE, VerdictName.IN_SERVICE

ROW_OF_WORDS: Final = 4
ROW_OF_USERS: Final = 16
"""The number of the row that withholds what a server that stays uses."""

WORKING: Final = frozenset({Stage.CONFIGURE, Stage.START})
"""The stages in which what a scale made may hold data already."""


@attrs.frozen(weakref_slot=False)
class Verdict:
    """What replay says of one resource. One without an `id` is identified by its create `step`."""

    kind: ResourceKind
    id: str | None
    step: UUID | None
    name: str | None
    verdict: VerdictName
    action: PlanAction
    because: str
    evidence: tuple[int, ...]
    row: int
    """The number of the row that decided."""

    @property
    def is_server(self) -> bool:
        """Whether it is of a server."""
        return self.kind is ResourceKind.SERVER

    @property
    def about(self) -> str:
        """What it is of, for people: by kind, name and id."""
        which = f"of create {self.step}" if self.id is None else self.id
        return f"{self.kind} {which}" if self.name in (None, "", self.id) else f"{self.kind} {self.name} ({which})"

    @property
    def ids(self) -> tuple[str | None, str | None]:
        """Its `server_id` and its `resource_id`, as events give them: one of them is None."""
        return (self.id, None) if self.is_server else (None, self.id)

    @property
    def is_operators_word(self) -> bool:
        """Whether an operator's word decided."""
        return self.row == ROW_OF_WORDS

    @property
    def withstands_deletion(self) -> bool:
        """Whether it keeps something although the deletion of the cluster may have been asked for."""
        return self.action is KEEP and self.row in (ROW_OF_WORDS, ROW_OF_USERS)


Judgement = tuple[VerdictName, PlanAction, str, tuple[int, ...]]
"""Verdict, action, reason and the evidence beyond the case's basis."""


@attrs.frozen
class Row:
    """One row of the table: in which histories it can apply at all, to which resources of them, and what it says of those."""

    number: int
    when: Callable[[Reading], bool]
    applies: Callable[[Case], bool]
    judge: Callable[[Case], Judgement]


def _is_foreign(case: Case) -> bool:
    return case.lost is None and case.origin.kind in (Kind.COPY, Kind.UNMARKED)


def _foreign(case: Case) -> Judgement:
    if case.origin.create is not None:
        when = "first seen" if case.kind in TIMELESS else "made"
        because = f"it carries the mark of create {case.origin.create.id} but was not {when} in its time: somebody's copy"
        return VerdictName.FOREIGN, KEEP, because, (case.origin.create.begun,)
    because = (
        "it carries no mark" if case.resource.mark is None else f"its mark {case.resource.mark} is no create of this journal"
    )
    return VerdictName.FOREIGN, KEEP, because, ()


def _gone(case: Case) -> Judgement:
    assert case.presence is not None
    if case.lost is not None:
        return VerdictName.GONE, NOTHING, "its create made nothing: its absence is proved", (case.presence.version,)
    return VerdictName.GONE, NOTHING, "it is deleted or proved absent, and was not seen there since", (case.presence.version,)


def _is_in_doubt(case: Case) -> bool:
    create = case.lost
    return (
        create is not None
        and create.operation in case.history.in_unfinished
        and (create.completion is None or create.ended_as(StepOutcome.FAILED))
    )


def _in_doubt(case: Case) -> Judgement:
    assert case.lost is not None
    how = "was refused" if case.lost.completion else "did not complete"
    return VerdictName.IN_DOUBT, FIND, f"its create {how}: it may or may not exist until its mark is looked for", ()


def _word(case: Case) -> Judgement:
    assert case.word is not None
    action = DELETE if case.word.word in DELETES else KEEP
    return VerdictName(case.word.word), action, f"{case.word.by} said so", (case.word.version,)


def _deletion(case: Case) -> Judgement:
    assert case.history.deletion_asked is not None
    verdict = NEW if case.created_in_unfinished else UNNEEDED
    return verdict, DELETE, "the deletion of the cluster was asked for", (case.history.deletion_asked,)


def _new_in_create(_case: Case) -> Judgement:
    return NEW, DELETE, "operation create did not finish", ()


def _is_unasked_and_unused(case: Case) -> bool:
    create = case.create
    return (
        create is not None
        and case.unasked
        and create.operation.outcome is not OperationOutcome.ABANDONED
        and not case.uses
        and not case.deleted_in_ended
    )


def _unasked(case: Case) -> Judgement:
    create = case.create
    assert create is not None
    if case.origin.kind is Kind.REPEATED:
        return NEW, DELETE, f"it is a second {case.kind} of create {create.id}: the request was repeated", ()
    assert create.operation.finished is not None
    because = f"it landed after operation {create.operation.kind} had ended, and nothing was put on it"
    return NEW, DELETE, because, (create.operation.finished,)


def _always(_: Reading | Case) -> bool:
    return True


def _can_be_gone(reading: Reading) -> bool:
    return can_be_gone(reading.history)


def _tells_by_mark(reading: Reading) -> bool:
    return reading.origins.tells_by_mark


def _can_be_left_over(reading: Reading) -> bool:
    return can_be_left_over(reading.history, reading.origins)


def _deletion_stands(reading: Reading) -> bool:
    return reading.history.deletion_asked is not None


def _is_create(reading: Reading) -> bool:
    return reading.unfinished is not None and reading.unfinished.kind is OperationKind.CREATE


def _scale_in(stages: Collection[Stage], reading: Reading) -> bool:
    return reading.scale_stage in stages


def _is_created(case: Case) -> bool:
    return case.created_in_unfinished


def _is_victim(case: Case) -> bool:
    return case.is_victim


def _victim_versions(case: Case) -> tuple[int, ...]:
    f = case.reading.unfinished
    assert f is not None
    mine = (s for s in case.reading.covering(case.resource) if s.operation is f and isinstance(s.intent, Decommission))
    return (f.started, *(version for s in mine for version in (s.begun, s.completed) if version is not None))


def _victim_decommissioning(case: Case) -> Judgement:
    if case.reading.decommission_complete:
        return UNNEEDED, DELETE, "operation scale failed after every victim was decommissioned", _victim_versions(case)
    return UNSAFE, KEEP, "operation scale failed while decommissioning: its data may not have moved", _victim_versions(case)


def _created_in_infrastructure(case: Case) -> Judgement:
    if case.uses:
        return UNSAFE, KEEP, "operation scale did not finish, and something may have put data on it", case.uses
    return NEW, DELETE, "operation scale did not finish, and nothing was put on it", ()


def _victim_in_infrastructure(case: Case) -> Judgement:
    if case.decommission is not None:
        return UNNEEDED, DELETE, "it was decommissioned, so the scale-down is finished", _victim_versions(case)
    return UNSAFE, KEEP, "it was not decommissioned: its data may not have moved", _victim_versions(case)


def _created_while_working(case: Case) -> Judgement:
    create = case.create
    assert create is not None
    if not create.ended_as(StepOutcome.SUCCEEDED) and not case.uses:
        return NEW, DELETE, "its create never succeeded and nothing was put on it", ()
    stage = case.reading.scale_stage
    return UNSAFE, KEEP, f"operation scale failed in stage {stage}: it may hold data", case.uses or _stage_versions(case)


def _stage_versions(case: Case) -> tuple[int, ...]:
    f = case.reading.unfinished
    assert f is not None
    return tuple(step.begun for step in f.steps if step.intent.stage in WORKING)[:1]


def _victim_while_working(case: Case) -> Judgement:
    if case.delete_begun is not None:
        versions = (*_victim_versions(case), case.delete_begun.begun)
        return UNNEEDED, DELETE, "it was decommissioned and its delete had begun, so the scale-down is finished", versions
    why = "its delete had not begun" if case.decommission is not None else "it was not decommissioned"
    return UNSAFE, KEEP, f"operation scale failed in stage {case.reading.scale_stage} and {why}", _victim_versions(case)


def _left_over(case: Case) -> Judgement:
    assert case.left_over is not None
    return UNSAFE, KEEP, f"{case.left_over.because}: a person has to decide", (case.left_over.since,)


def _is_failed_create_unused(case: Case) -> bool:
    create = case.resource.named_by
    return (
        create is not None
        and create.ended_as(StepOutcome.FAILED)
        and create.operation.outcome is OperationOutcome.SUCCEEDED
        and not case.uses
    )


def _failed_create(case: Case) -> Judgement:
    create = case.resource.named_by
    assert create is not None
    assert create.operation.finished is not None
    because = f"its create failed, the {create.operation.kind} went on without it, and nothing was put on it"
    return NEW, DELETE, because, (create.operation.finished,)


def _in_service(case: Case) -> Judgement:
    if case.resource.adopted is not None:
        return IN_SERVICE, KEEP, "it was adopted", ()
    create = case.create
    ended = create.operation.finished if create else None
    return IN_SERVICE, KEEP, "it belongs to the cluster", () if ended is None else (ended,)


TABLE: Final = (
    Row(1, _always, _is_foreign, _foreign),
    Row(2, _can_be_gone, lambda case: case.is_gone, _gone),
    Row(3, _always, _is_in_doubt, _in_doubt),
    Row(ROW_OF_WORDS, _always, lambda case: case.word is not None, _word),
    Row(5, _deletion_stands, _always, _deletion),
    Row(6, _is_create, _is_created, _new_in_create),
    Row(7, _tells_by_mark, _is_unasked_and_unused, _unasked),
    Row(8, partial(_scale_in, (Stage.DECOMMISSION,)), _is_victim, _victim_decommissioning),
    Row(9, partial(_scale_in, (Stage.INFRASTRUCTURE,)), _is_created, _created_in_infrastructure),
    Row(10, partial(_scale_in, (Stage.INFRASTRUCTURE,)), _is_victim, _victim_in_infrastructure),
    Row(11, partial(_scale_in, WORKING), _is_created, _created_while_working),
    Row(12, partial(_scale_in, WORKING), _is_victim, _victim_while_working),
    Row(13, _can_be_left_over, lambda case: case.left_over is not None, _left_over),
    Row(14, _always, _is_failed_create_unused, _failed_create),
    Row(15, _always, _always, _in_service),
)
"""The policy. The first row that applies decides."""

_OF_LOST_CREATES: Final = TABLE[1:3]
"""A create that nothing is known of is gone, in doubt, or not listed."""


def verdicts(history: History) -> tuple[Verdict, ...]:
    """Return the verdict of each resource, for the journal as read to its end: servers first, in the order of `ResourceKind`.

    Within a kind, known ones come first, then creates that nothing is known of.
    """
    reading = Reading(history)
    rows = tuple(row for row in TABLE if row.when(reading))
    found = list(_judged(reading.cases(ResourceKind.SERVER), rows, ()))
    others = [kind for kind in ResourceKind if kind in reading.kinds and kind is not ResourceKind.SERVER]
    if others:
        going = {verdict.id for verdict in found if verdict.id is not None and verdict.action in (DELETE, NOTHING)}
        for kind in others:
            found += _judged(reading.cases(kind), rows, going)
    return tuple(found)


def _judged(cases: Iterator[Case], rows: tuple[Row, ...], going: Collection[str]) -> Iterator[Verdict]:
    return (found for case in cases if (found := _verdict(case, rows, going)) is not None)


def _verdict(case: Case, rows: tuple[Row, ...], going: Collection[str]) -> Verdict | None:
    """Return the verdict of one resource, by the rows that can apply; `going`: the servers that are gone, or to be deleted."""
    for row in rows if case.lost is None else _OF_LOST_CREATES:
        if row.applies(case):
            break
    else:
        return None
    number, (verdict, action, because, evidence) = row.number, row.judge(case)
    if action is DELETE and number != ROW_OF_WORDS and case.kind is not ResourceKind.SERVER:
        user = case.remaining_user(going)
        if user is not None:
            number = ROW_OF_USERS
            how = " stays, and" if user[0] in case.history.resources else ", which is not this cluster's,"
            because = f"{named(user[0])}{how} uses it"
            verdict, action, evidence = UNSAFE, KEEP, (*evidence, user[1])
    create = case.create or case.origin.create
    return Verdict(
        kind=case.kind,
        id=None if case.lost else case.resource.id,
        step=create.id if create else None,
        name=_name(case),
        verdict=verdict,
        action=action,
        because=because,
        evidence=tuple(sorted({*case.basis, *evidence})),
        row=number,
    )


def _name(case: Case) -> str | None:
    if case.lost is None:
        return case.resource.name
    assert isinstance(case.lost.intent, Create)
    return case.lost.intent.name
