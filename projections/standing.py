"""What still stands: an operator's word, and whether a person took a left-over server in."""

from journal.events import Configure, Decommission, OperationOutcome, Stage, Start, Word
from projections.fold import History, Server, SpokenWord
from projections.origin import Origin, covering_steps

DELETES = frozenset({Word.NEW, Word.UNNEEDED})
"""The words that let the compensator delete; the others keep."""


def standing_word(history: History, server: Server, origin: Origin) -> SpokenWord | None:
    """Return the operator's word that stands for a server: the last one, unless something ended it."""
    if not server.words:
        return None
    word = server.words[-1]
    if _ended(server, word) or (word.word in DELETES and _used_up(history, server, origin, word)):
        return None
    return word


def _ended(server: Server, word: SpokenWord) -> bool:
    """Whether a decommission, a declaration as victim or an adoption came after the word."""
    return (
        any(isinstance(step.intent, Decommission) and step.begun > word.version for step in server.listed_by)
        or (server.declared_victim or 0) > word.version
        or (server.adopted or 0) > word.version
    )


def _used_up(history: History, server: Server, origin: Origin, word: SpokenWord) -> bool:
    """Whether the server was put to work again, what was unfinished succeeded, or the word was carried out."""
    if word.during is not None and word.during.outcome is OperationOutcome.SUCCEEDED:
        return True
    if any(s.begun > word.version and s.intent.stage is not Stage.ROLLBACK for s in covering_steps(history, server, origin)):
        return True
    return any(s.is_done_delete and (s.completed or 0) > word.version and s.operation.finished for s in server.deletes)


def taken_in(history: History, server: Server, origin: Origin, since: int) -> bool:
    """Whether, after version `since`, the server was adopted, or an operation that succeeded configured or started it."""
    if (server.adopted or 0) > since:
        return True
    return any(
        step.begun > since
        and isinstance(step.intent, Configure | Start)
        and step.operation.outcome is OperationOutcome.SUCCEEDED
        and (not step.covers_all or (server.named is not None and server.named < step.begun))
        for step in covering_steps(history, server, origin)
    )
