"""Bugs that were made, elsewhere or here, planted into the production code: the simulation must find each of them."""

from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import pytest

from journal.events import Completion, Event, Stage, StepOutcome
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.stream import Stream
from projections.cases import Case, Reading
from projections.fold import History
from rollback import compensator, deleting, observe
from rollback.cloud import Found
from simulate import oracle

Plant = Callable[[pytest.MonkeyPatch], None]


def completion_before_the_wait(patch: pytest.MonkeyPatch) -> None:
    """A delete is completed when it was accepted, not when the server is gone."""
    patch.setattr(deleting, "end_of_delete", lambda _: (StepOutcome.SUCCEEDED, None))


def epoch_not_checked(patch: pytest.MonkeyPatch) -> None:
    """A writer appends under whatever epoch the stream has by now."""
    append = Stream._append  # noqa: SLF001 (what is planted is inside)

    def careless(stream: Stream, entries: Any, epoch: int, claim: Any) -> Any:
        return append(stream, entries, max(epoch, stream.current_epoch), claim)

    patch.setattr(Stream, "_append", careless)
    patch.setattr(Stream, "refuse_fenced", Stream.refresh)


def marks_not_read_back(patch: pytest.MonkeyPatch) -> None:
    """What the journal knows is deleted, whatever its marks say."""
    patch.setattr(compensator, "objection", lambda *_, **__: None)


def absence_after_one_listing(patch: pytest.MonkeyPatch) -> None:
    """What the cloud does not list at one moment is absent."""
    look = observe.observe

    def hasty(cloud: Any, journal: UUID, history: History, clock: Any, _settle_seconds: float, progress: Any) -> Any:
        return look(cloud, journal, history, clock, 0.0, progress)

    patch.setattr(observe, "observe", hasty)


def tags_ignored_on_failed_create(patch: pytest.MonkeyPatch) -> None:
    """A create that was refused made nothing: nobody looks for its mark."""
    belongs = observe._belongs  # noqa: SLF001 (what is planted is inside)

    def trusting(found: Found, journal: UUID, history: History) -> bool:
        step = history.creates.get(found.marks.step_id) if found.marks is not None and found.marks.step_id else None
        refused = step is not None and step.ended_as(StepOutcome.FAILED) and found.id not in history.resources
        return not refused and belongs(found, journal, history)

    patch.setattr(observe, "_belongs", trusting)


def configured_servers_deleted(patch: pytest.MonkeyPatch) -> None:
    """A scale that fails is undone, however far it came."""
    stage = Reading.__dict__["scale_stage"].func

    def early(reading: Reading) -> Stage | None:
        furthest = stage(reading)
        return Stage.INFRASTRUCTURE if furthest in (Stage.CONFIGURE, Stage.START) else furthest

    patch.setattr(Reading, "scale_stage", property(early))
    patch.setattr(Case, "uses", property(lambda _: ()))


def victims_not_stored(patch: pytest.MonkeyPatch) -> None:
    """The journal is not told which servers a scale is to remove."""
    begin = Journal.begin

    def silent(journal: Journal, cluster: str, kind: Any, cloud: str, *, victims: Sequence[str] = (), **more: Any) -> Any:
        return begin(journal, cluster, kind, cloud, **more)

    patch.setattr(Journal, "begin", silent)


def late_post_ignored(patch: pytest.MonkeyPatch) -> None:
    """What a request made after its operation had ended is taken to be wanted."""
    patch.setattr(Case, "unasked", property(lambda _: False))


def index_not_updated(patch: pytest.MonkeyPatch) -> None:
    """A completion leaves its step in the index of unfinished ones."""
    index = MemoryStore._index  # noqa: SLF001 (what is planted is inside)

    def forgetful(store: MemoryStore, event: Event) -> None:
        if not isinstance(event.data, Completion):
            index(store, event)

    patch.setattr(MemoryStore, "_index", forgetful)


PLANTED: Final[dict[Plant, set[str]]] = {
    completion_before_the_wait: {oracle.UNTRUE},
    epoch_not_checked: {oracle.TWO_OWNERS},
    marks_not_read_back: {oracle.FOREIGN},
    absence_after_one_listing: {oracle.UNTRUE},
    tags_ignored_on_failed_create: {oracle.LEAK, oracle.NO_END},
    configured_servers_deleted: {oracle.UNSAFE},
    victims_not_stored: {oracle.POLICY, oracle.UNSAFE},
    late_post_ignored: {oracle.LEAK},
    index_not_updated: {oracle.UNTRUE},
}
"""Each bug, with the kinds of breaches that it may show as."""
