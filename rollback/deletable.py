"""Whether something may be deleted: by what its marks say, read right before, and by what still uses it. Pure."""

from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

from journal.events import PlanAction, ResourceKind
from projections.coverage import was_found_by_mark
from projections.fold import History, Resource
from projections.origin import Origins
from projections.presence import lingers
from projections.users import named, users
from rollback.cloud import Found
from rollback.marks import Agreement, Marks, agreement, agreement_of_other
from rollback.plan import Plan


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


def still_used(history: History, now: Plan, unseen: Collection[str] = ()) -> dict[str, str]:
    """Return what is to be deleted but not before a server that uses it, or may, is gone: by id, why.

    A server that is soft-deleted is gone for us, yet it lets go of nothing until the cloud reclaims it. Not even an
    operator's word tears something from a server that stays. That the cloud does not show the server (`unseen`) is no
    proof that there is none, for it may be another project's; but who says what it is after the journal was told of that
    server has judged that, too.
    """
    where = Origins(history)
    servers = [verdict for verdict in now.verdicts if verdict.is_server]
    gone = {verdict.id for verdict in servers if verdict.action is PlanAction.NONE}
    lingering = {id_ for id_ in gone if id_ and lingers(history.resources[id_])}
    by_create = {verdict.step: verdict for verdict in servers if verdict.action in (PlanAction.DELETE, PlanAction.FIND)}
    waits = {}
    for verdict in now.having(PlanAction.DELETE):
        assert verdict.id is not None
        resource = history.resources[verdict.id]
        let_go = gone - lingering if verdict.kind in HELD_BY_USERS else gone
        judged = {id_ for id_ in unseen if _was_judged(history, resource, id_)}
        user = next((id_ for id_, _ in users(where, resource) if id_ not in let_go and id_ not in judged), None)
        made_with = next((by_create[step.id] for step in resource.used_by if step.id in by_create), None)
        if user is not None and user in unseen:
            why = f"{named(user)} uses it, and is not seen here: if there is none, say again what this {verdict.kind} is"
            waits[verdict.id] = why
        elif user is not None:
            waits[verdict.id] = f"{named(user)}, which uses it, is still there"
        elif made_with is not None:
            waits[verdict.id] = f"server {made_with.id or made_with.name}, which was made with it, may still be there"
    return waits


def _was_judged(history: History, resource: Resource, server_id: str) -> bool:
    """Whether an operator spoke of something after the journal was told that this server uses it, as it does now.

    A server that let go and came back is there, whatever was said of it before.
    """
    told = None
    for sighting in history.sightings(resource):
        if server_id not in sighting.attached_to:
            told = None
        elif told is None:
            told = sighting.listing.version
    return told is not None and any(word.version > told for word in resource.words)


def gone_servers(now: Plan) -> frozenset[str | None]:
    """Return the servers that are not there any more."""
    return frozenset(verdict.id for verdict in now.verdicts if verdict.is_server and verdict.action is PlanAction.NONE)


def new_user(history: History, gone: Collection[str | None], found: Found, *, word_stands: bool) -> str | None:
    """Return why what is no server must not be deleted: something that is not gone uses it, which the plan did not know.

    Of what was seen to use it before, an operator who spoke of it knew.
    """
    resource = history.resources[found.id]
    new = (id_ for id_ in found.attached_to if id_ not in gone and not (word_stands and _was_judged(history, resource, id_)))
    user = next(new, None)
    return None if user is None else f"it is in use by now, by {user}"


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
        if history.last_hold_placed is None or history.last_hold_placed <= seen:
            return (
                f"the journal has lost history: {each.kind} {each.id} carries this cluster's mark with step {marks.step_id}, "
                "which the journal does not have (was an old backup restored?)"
            )
    return None


def _told(resource: Resource) -> bool:
    """Whether the id was learned from a create's answer or an adoption."""
    if resource.adopted is not None:
        return True
    return resource.named_by is not None and not was_found_by_mark(resource.named_by)


def expected_marks(history: History, journal: UUID, resource: Resource) -> Marks:
    """Return what the marks of a resource that its stream knows must say."""
    if resource.adopted is not None:
        return Marks(journal, history.stream, None)
    return Marks(journal, history.stream, resource.mark if resource.named_by is None else resource.named_by.id)
