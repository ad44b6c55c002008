"""The marks that every resource carries from its creation on, and what they say of one that was found.

Nova has no idempotency token, so the create of a server carries the journal's id and its step as tags, and journal,
cluster and step in metadata. A server's name proves nothing.

Of what a server brings along, a volume carries the same metadata. A port, a floating IP and a security group have a
description, which their services store as it was sent (tags they would refuse or lose); a server group and a keypair
have nothing but their name. There the mark is text, with the step's id in it.
"""

import re
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
LONGEST_TEXT: Final = 255
"""Characters that a description or a name holds."""
_CLUSTER_IN_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""The cluster ids that a text mark names: a keypair's name may hold no other characters."""
_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TEXT: Final = re.compile(rf"(?s:.*)provjournal-({_UUID})-({_UUID})(?:-({_CLUSTER_IN_TEXT.pattern}))?$")
"""The last mark in a text: what was made may have the name of something that has a mark."""
KEYS: Final = frozenset({JOURNAL_KEY, CLUSTER_KEY, STEP_KEY})
"""The metadata that is ours."""


@attrs.frozen
class Marks:
    """What a resource's marks must say. `step` is None for an adopted server, which no create of this journal made."""

    journal: UUID
    cluster: str
    step: UUID | None

    @property
    def tags(self) -> list[str]:
        """The server's tags: at most 60 characters each, without slash and comma."""
        return [journal_tag(self.journal)] + ([] if self.step is None else [f"{STEP_TAG}{self.step}"])

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata of a server or a volume."""
        step = {} if self.step is None else {STEP_KEY: str(self.step)}
        return {JOURNAL_KEY: str(self.journal), CLUSTER_KEY: self.cluster, **step}

    @property
    def text(self) -> str:
        """The mark in a description or a name. It leaves out a cluster id that is too long or too special for it."""
        fits = _CLUSTER_IN_TEXT.fullmatch(self.cluster) and not _TEXT.match(self.cluster)
        cluster = f"-{self.cluster}" if fits else ""
        return f"provjournal-{self.journal}-{self.step}{cluster}"

    def name(self, name: str) -> str:
        """Return a name with the mark at its end; what is too long for both is cut off the name."""
        return f"{name[: LONGEST_TEXT - len(self.text) - 1]}-{self.text}"

    def description(self, text: str) -> str:
        """Return a description with the mark at its end. Raises ValueError if it is too long for both."""
        marked = f"{text} {self.text}".lstrip()
        if len(marked) > LONGEST_TEXT:
            room = LONGEST_TEXT - len(self.text) - 1
            msg = f"the description also holds the mark: it can have {room} characters, not {len(text)}"
            raise ValueError(msg)
        return marked


def marks_of(step: Step) -> Marks:
    """Return the marks of what a create step makes."""
    return Marks(step.journal, step.cluster, step.id)


def is_mark(tag: str) -> bool:
    """Whether a tag is one of ours."""
    return tag.startswith((JOURNAL_TAG, STEP_TAG))


def journal_tag(journal: UUID) -> str:
    """Return the tag by which all servers of a journal are listed."""
    return f"{JOURNAL_TAG}{journal}"


@attrs.frozen
class FoundMarks:
    """The marks that a resource carries, as far as they can be read; None or empty where there is none."""

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

    @classmethod
    def of_text(cls, text: str) -> "FoundMarks":
        """Read the mark at the end of a description or a name."""
        found = _TEXT.match(text)
        journal, step, cluster = found.groups() if found else (None, None, None)
        return cls(frozenset(), frozenset(), journal, cluster, step)

    @property
    def step_id(self) -> UUID | None:
        """The create step that the resource is marked with: by a server's tag, else by what else it carries."""
        marked = sorted(self.tagged_steps) if self.tagged_steps else [self.step]
        return _uuid(marked[0]) if len(marked) == 1 else None

    def says_journal(self, journal: UUID) -> bool:
        """Whether any mark names this journal."""
        return str(journal) in self.tagged_journals or self.journal == str(journal)


class Agreement(Enum):
    """What a resource's marks say about the journal's claim to it. What is no server has only one mark, which is then both."""

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


def agreement_of_other(found: FoundMarks, expected: Marks) -> Agreement:
    """Compare the one mark of what is no server with what it must say; it need not say the cluster."""
    said = _compare((found.journal, str(expected.journal)), (found.step, str(expected.step)))
    if said is False or found.cluster not in (None, expected.cluster):
        return Agreement.CONTRADICTION
    return Agreement.BOTH if said else Agreement.NONE


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
