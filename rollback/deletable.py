"""Whether something may be deleted: by what its marks say, read right before, and by what still uses it. Pure."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from journal.events import PlanAction, ResourceKind
from projections.fold import History, Resource
from projections.presence import lingers
from rollback.cloud import Found
from rollback.marks import Agreement, Marks, agreement, agreement_of_other
from rollback.plan import Plan

FOUND_BY_MARK = "found by its mark"
"""The reason with which the compensator completes a create when it found what that made."""


def objection(history: History, journal: UUID, found: Found, *, word_stands: bool) -> str | None:
    """Return why what was found must not be deleted, or None if nothing speaks against it.

    Of an id that the journal learned from a create's answer or an adoption, one of tags and metadata must match and
    neither may contradict; of a server found by its mark, both must match. Where all marks are gone an operator's
    word suffices; where they contradict, nothing does. What is no server has one mark, which must match.
    """
    if found.marks is None:
        return "its cell is down, so its marks cannot be read"
    resource = history.resources[found.id]
    expected = expected_marks(history, journal, resource)
    needed = {Agreement.BOTH, Agreement.ONE} if _told(resource) else {Agreement.BOTH}
    compare = agreement if found.kind is ResourceKind.SERVER else agreement_of_other
    agreed = compare(found.marks, expected)
    if resource.adopted is not None and found.marks.step_id is not None and found.marks.step_id not in history.creates:
        agreed = Agreement.CONTRADICTION  # it was made by a create of another cluster
    if agreed in needed or (agreed is not Agreement.CONTRADICTION and word_stands):
        return None
    said = f"{agreed.value}, so it is not certain that it belongs to this cluster"
    return f"{said}; {_advice(history.stream, found, contradicts=agreed is Agreement.CONTRADICTION)}"


def _advice(cluster: str, found: Found, *, contradicts: bool) -> str:
    """Return what a person can do about what is not certain to be the cluster's: only servers can be marked again."""
    if found.kind is ResourceKind.SERVER:
        more = " --replace-marks" if contradicts else ""
        return f"mark it again: `provjournal adopt {cluster} --server {found.id}{more}`"
    if contradicts:
        return "it is left alone: delete it by hand if it is yours"
    words = "new|unneeded|unsafe|in_service"
    return f"say what it is: `provjournal resolve {cluster} {found.id} {words} --reason …`, or delete it by hand"


HELD_BY_USERS: Final = frozenset({ResourceKind.PORT, ResourceKind.VOLUME, ResourceKind.SECURITY_GROUP})
"""The kinds that their services refuse to delete as long as a server uses them."""


def still_used(history: History, now: Plan) -> dict[str, str]:
    """Return what is to be deleted but not before a server that uses it, or may, is gone: by id, why.

    A server that is soft-deleted is gone for us, yet it lets go of nothing until the cloud reclaims it.
    """
    servers = [verdict for verdict in now.verdicts if verdict.is_server]
    gone = {v.id for v in servers if v.action is PlanAction.NONE and v.id and not lingers(history.resources[v.id])}
    going = {verdict.id or verdict.step: verdict for verdict in servers if verdict.action in (PlanAction.DELETE, PlanAction.FIND)}
    by_create = {verdict.step: verdict for verdict in going.values()}
    waits = {}
    for verdict in now.having(PlanAction.DELETE):
        if verdict.is_server or verdict.id is None:
            continue
        resource = history.resources[verdict.id]
        attached = () if resource.last_seen is None else resource.last_seen.attached_to
        holds = verdict.kind in HELD_BY_USERS
        user = next((id_ for id_ in attached if id_ in going or (holds and id_ not in gone)), None)
        made_with = next((by_create[step.id] for step in resource.used_by if step.id in by_create), None)
        if user is not None:
            waits[verdict.id] = f"server {user}, which uses it, is still there"
        elif made_with is not None:
            waits[verdict.id] = f"server {made_with.id or made_with.name}, which was made with it, may still be there"
    return waits


def lost_history(history: History, journal: UUID, found: Mapping[str, Found]) -> str | None:
    """Return why a hold is to be placed: something carries this cluster's mark with a step that the journal does not have.

    None if there is no such thing, or if a hold that was placed after it was first seen stands or was released:
    then somebody looks, or has looked.
    """
    for each in found.values():
        marks = each.marks
        if marks is None or marks.step_id is None or marks.step_id in history.creates:
            continue
        if not marks.says_journal(journal) or marks.cluster != history.stream:
            continue
        seen = history.resources[each.id].known if each.id in history.resources else history.version
        if (history.last_hold_placed or 0) <= seen:
            return (
                f"the journal has lost history: {each.kind} {each.id} carries this cluster's mark with step {marks.step_id}, "
                "which the journal does not have (was an old backup restored?)"
            )
    return None


def _told(resource: Resource) -> bool:
    """Whether the id was learned from a create's answer or an adoption."""
    if resource.adopted is not None:
        return True
    completion = None if resource.named_by is None else resource.named_by.completion
    return completion is not None and completion.reason != FOUND_BY_MARK


def expected_marks(history: History, journal: UUID, resource: Resource) -> Marks:
    """Return what the marks of a resource that its stream knows must say."""
    if resource.adopted is not None:
        return Marks(journal, history.stream, None)
    return Marks(journal, history.stream, resource.mark if resource.named_by is None else resource.named_by.id)
