"""Whether a server may be deleted by what its marks say, read right before. The last check before every delete; pure."""

from collections.abc import Mapping
from uuid import UUID

from projections.fold import History, Server
from rollback.cloud import FoundServer
from rollback.marks import Agreement, Marks, agreement

FOUND_BY_MARK = "found by its mark"
"""The reason with which the compensator completes a create whose server it found."""


def objection(history: History, journal: UUID, found: FoundServer, *, word_stands: bool) -> str | None:
    """Return why this server must not be deleted, or None if nothing speaks against it.

    Of an id that the journal learned from a create's answer or an adoption, one of tags and metadata must match and
    neither may contradict; of a server found by its mark, both must match. Where all marks are gone an operator's
    word suffices; where they contradict, nothing does.
    """
    if found.marks is None:
        return "its cell is down, so its marks cannot be read"
    server = history.servers[found.id]
    expected = expected_marks(history, journal, server)
    needed = {Agreement.BOTH, Agreement.ONE} if _told(server) else {Agreement.BOTH}
    agreed = agreement(found.marks, expected)
    if server.adopted is not None and found.marks.step_id is not None and found.marks.step_id not in history.creates:
        agreed = Agreement.CONTRADICTION  # it was made by a create of another cluster
    if agreed in needed or (agreed is not Agreement.CONTRADICTION and word_stands):
        return None
    advice = "mark it again" if agreed is Agreement.CONTRADICTION else "say of this server what it is, or mark it again"
    return f"{agreed.value}, so it is not certain that it belongs to this cluster; {advice}"


def lost_history(history: History, journal: UUID, found: Mapping[str, FoundServer]) -> str | None:
    """Return why a hold is to be placed: a server carries this cluster's mark with a step that the journal does not have.

    None if there is no such server, or if a hold that was placed after it was first seen stands or was released:
    then somebody looks, or has looked.
    """
    for server in found.values():
        marks = server.marks
        if marks is None or marks.step_id is None or marks.step_id in history.creates:
            continue
        if not marks.says_journal(journal) or marks.cluster != history.stream:
            continue
        seen = history.servers[server.id].known if server.id in history.servers else history.version
        if (history.last_hold_placed or 0) <= seen:
            return (
                f"the journal has lost history: server {server.id} carries this cluster's mark with step {marks.step_id}, "
                "which the journal does not have (was an old backup restored?)"
            )
    return None


def _told(server: Server) -> bool:
    """Whether the id was learned from a create's answer or an adoption."""
    if server.adopted is not None:
        return True
    completion = None if server.named_by is None else server.named_by.completion
    return completion is not None and completion.reason != FOUND_BY_MARK


def expected_marks(history: History, journal: UUID, server: Server) -> Marks:
    """Return what the marks of a server that its stream knows must say."""
    if server.adopted is not None:
        return Marks(journal, history.stream, None)
    return Marks(journal, history.stream, server.mark if server.named_by is None else server.named_by.id)
