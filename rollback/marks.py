"""The marks that every server carries from its creation on, and what they say of a server that was found.

Nova has no idempotency token, so a create carries the journal's id and its step as tags, and journal, cluster and
step in metadata. A name proves nothing.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final
from uuid import UUID

import attrs

from journal.steps import Step

JOURNAL_TAG: Final = "provjournal:"
STEP_TAG: Final = "provjournal-step:"
JOURNAL_KEY: Final = "provjournal_journal"
CLUSTER_KEY: Final = "provjournal_cluster"
STEP_KEY: Final = "provjournal_step"
KEYS: Final = frozenset({JOURNAL_KEY, CLUSTER_KEY, STEP_KEY})
"""The metadata that is ours."""


@attrs.frozen
class Marks:
    """What a server's marks must say. `step` is None for an adopted server, which no create of this journal made."""

    journal: UUID
    cluster: str
    step: UUID | None

    @property
    def tags(self) -> list[str]:
        """The server's tags: at most 60 characters each, without slash and comma."""
        return [journal_tag(self.journal)] + ([] if self.step is None else [f"{STEP_TAG}{self.step}"])

    @property
    def metadata(self) -> dict[str, str]:
        """The server's metadata."""
        step = {} if self.step is None else {STEP_KEY: str(self.step)}
        return {JOURNAL_KEY: str(self.journal), CLUSTER_KEY: self.cluster, **step}


def marks_of(step: Step) -> Marks:
    """Return the marks of the server that a create step makes."""
    return Marks(step.journal, step.cluster, step.id)


def is_mark(tag: str) -> bool:
    """Whether a tag is one of ours."""
    return tag.startswith((JOURNAL_TAG, STEP_TAG))


def journal_tag(journal: UUID) -> str:
    """Return the tag by which all servers of a journal are listed."""
    return f"{JOURNAL_TAG}{journal}"


@attrs.frozen
class FoundMarks:
    """The marks that a server carries, as far as they can be read; None or empty where there is none."""

    tagged_journals: frozenset[str]
    tagged_steps: frozenset[str]
    journal: str | None
    cluster: str | None
    step: str | None

    @classmethod
    def of(cls, tags: Iterable[str], metadata: Mapping[str, str]) -> "FoundMarks":
        """Read the marks of a server."""
        tags = tuple(tags)
        return cls(
            frozenset(tag.removeprefix(JOURNAL_TAG) for tag in tags if tag.startswith(JOURNAL_TAG)),
            frozenset(tag.removeprefix(STEP_TAG) for tag in tags if tag.startswith(STEP_TAG)),
            metadata.get(JOURNAL_KEY),
            metadata.get(CLUSTER_KEY),
            metadata.get(STEP_KEY),
        )

    @property
    def step_id(self) -> UUID | None:
        """The create step that the server is marked with: by its tag, else by its metadata."""
        marked = sorted(self.tagged_steps) if self.tagged_steps else [self.step]
        return _uuid(marked[0]) if len(marked) == 1 else None

    def says_journal(self, journal: UUID) -> bool:
        """Whether tags or metadata name this journal."""
        return str(journal) in self.tagged_journals or self.journal == str(journal)


class Agreement(Enum):
    """What a server's marks say about the journal's claim to it."""

    BOTH = "tags and metadata match"
    ONE = "tags or metadata match, and neither contradicts"
    NONE = "its marks are gone, or some of them"
    CONTRADICTION = "its marks contradict the journal"


def agreement(found: FoundMarks, expected: Marks) -> Agreement:
    """Compare a server's marks with what they must say."""
    tags = _compare(
        (found.tagged_journals, frozenset({str(expected.journal)})),
        (found.tagged_steps, frozenset() if expected.step is None else frozenset({str(expected.step)})),
    )
    metadata = _compare(
        (found.journal, str(expected.journal)),
        (found.cluster, expected.cluster),
        (found.step, None if expected.step is None else str(expected.step)),
    )
    match (tags, metadata):
        case (False, _) | (_, False):
            return Agreement.CONTRADICTION
        case (True, True):
            return Agreement.BOTH
        case (None, None):
            return Agreement.NONE
        case _:
            return Agreement.ONE


def _compare(*pairs: tuple[object, object]) -> bool | None:
    """Return True where all that is expected is said, False where anything said is another, None where something is missing."""
    compared = [(found, expected) for found, expected in pairs if expected]
    if any(found and found != expected for found, expected in compared):
        return False
    return True if all(found for found, _ in compared) else None


def _uuid(text: str | None) -> UUID | None:
    try:
        return None if text is None else UUID(text)
    except ValueError:
        return None
