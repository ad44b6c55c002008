"""Whether a server may be deleted by what its marks say, read right before. The last check before every delete; pure."""

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
    expected = Marks(journal, history.stream, _step(server))
    needed = {Agreement.BOTH, Agreement.ONE} if _told(server) else {Agreement.BOTH}
    agreed = agreement(found.marks, expected)
    if agreed in needed or (agreed is not Agreement.CONTRADICTION and word_stands):
        return None
    advice = "mark it again" if agreed is Agreement.CONTRADICTION else "say of this server what it is, or mark it again"
    return f"{agreed.value}, so it is not certain that it belongs to this cluster; {advice}"


def _told(server: Server) -> bool:
    """Whether the id was learned from a create's answer or an adoption."""
    if server.adopted is not None:
        return True
    completion = None if server.named_by is None else server.named_by.completion
    return completion is not None and completion.reason != FOUND_BY_MARK


def _step(server: Server) -> UUID | None:
    if server.adopted is not None:
        return None
    return server.mark if server.named_by is None else server.named_by.id
