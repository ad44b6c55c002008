"""What still stands: an operator's word, and whether a person took in what was left over."""

from collections.abc import Iterator
from itertools import chain

from journal.events import Configure, Decommission, OperationOutcome, Stage, Start, Word
from projections.coverage import covering_steps, using_steps
from projections.fold import History, Resource, SpokenWord, Step
from projections.origin import Origins

DELETES = frozenset({Word.NEW, Word.UNNEEDED})
"""The words that let the compensator delete; the others keep."""


def standing_word(history: History, origins: Origins, resource: Resource) -> SpokenWord | None:
    """Return the operator's word that stands for a resource: the last one, unless something ended it."""
    if not resource.words:
        return None
    word = resource.words[-1]
    later = [step for step in _intents_on(history, origins, resource) if step.begun > word.version]
    if _ended(resource, word, later) or (word.word in DELETES and _used_up(resource, word, later)):
        return None
    return word


def _intents_on(history: History, origins: Origins, resource: Resource) -> Iterator[Step]:
    """Yield the steps that cover a resource, that may use it, or that make a server with it."""
    return chain(covering_steps(history, origins, resource), using_steps(history, origins, resource), resource.used_by)


def _ended(resource: Resource, word: SpokenWord, later: list[Step]) -> bool:
    """Whether a decommission, a declaration as victim or an adoption came after the word."""
    return (
        any(isinstance(step.intent, Decommission) for step in later)
        or (resource.declared_victim or 0) > word.version
        or (resource.adopted or 0) > word.version
    )


def _used_up(resource: Resource, word: SpokenWord, later: list[Step]) -> bool:
    """Whether it was put to work again, what was unfinished succeeded, or the word was carried out."""
    if word.during is not None and word.during.outcome is OperationOutcome.SUCCEEDED:
        return True
    if any(step.intent.stage is not Stage.ROLLBACK for step in later):
        return True
    return any(s.is_done_delete and (s.completed or 0) > word.version and s.operation.finished for s in resource.deletes)


def taken_in(history: History, origins: Origins, resource: Resource, since: int) -> bool:
    """Whether, after version `since`, it was adopted, or an operation that succeeded configured or started it."""
    if (resource.adopted or 0) > since:
        return True
    return any(
        step.begun > since
        and isinstance(step.intent, Configure | Start)
        and step.operation.outcome is OperationOutcome.SUCCEEDED
        and (not step.covers_all or (resource.named is not None and resource.named < step.begun))
        for step in covering_steps(history, origins, resource)
    )
