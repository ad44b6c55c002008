"""Carrying an interrupted operation forward: what must be known first, and what its unfinished steps have come to."""

from collections.abc import Iterator, Sequence
from typing import Final

from journal.errors import VersionConflict
from journal.events import (
    Completion,
    Create,
    CreateResource,
    CreateServer,
    Data,
    Delete,
    DeleteResource,
    DeleteServer,
    OperationKind,
    Stage,
    StepOutcome,
    VerdictName,
    completed,
    deleted_by,
)
from journal.journal import Journal
from journal.recorder import Begun, Operation
from journal.stream import Stream
from projections.fold import History, fold
from projections.fold import Operation as Past
from projections.origin import Origins
from projections.verdicts import verdicts
from rollback.cloud import Cloud
from rollback.errors import NotResumable
from rollback.observe import Observation, is_news, look
from rollback.owners import why_in_doubt
from rollback.progress import Progress

INTERRUPTED: Final = "interrupted: its conductor did not say how it ended"
"""The reason with which a step that another process began is completed, so that it can be run again."""
MOST_ROUNDS: Final = 20
"""How often taking the stream over is tried because others appended meanwhile."""


def resume(journal: Journal, cloud: Cloud, cluster: str, *, progress: Progress = lambda _: None) -> Operation:
    """Take over the unfinished operation of a cluster, and return it: what is done in it stays done.

    A create whose outcome nobody knows is looked for in the cloud: what is found has succeeded, what is proved absent
    can be run again. Every other unfinished step can be run again.

    Raises NotResumable, OwnerAlive, UnknownStream, DamagedStream, WrongCloud, UnsuitableCloud, or CloudError where the
    cloud cannot be listed.
    """
    stream = journal.stream(cluster)
    journal.refuse_live_owner(cluster, even_own=True)
    journal.refuse_damage(cluster)
    stream.refresh()
    seen = _look(journal, cloud, stream, progress)
    for _ in range(MOST_ROUNDS):
        stream.refresh()
        journal.refuse_live_owner(cluster, even_own=True)
        try:
            return _taken(journal, cloud, stream, seen)
        except VersionConflict:
            continue
    raise NotResumable(cluster, "others kept appending to the cluster")


def _look(journal: Journal, cloud: Cloud, stream: Stream, progress: Progress) -> Observation | None:
    """Look at the cloud if anything depends on it."""
    history = fold(stream.events)
    operation = _resumable(history)
    if not any(isinstance(step.intent, Create | Delete) for step in operation.steps if step.completion is None):
        return None
    return look(journal, cloud, history, progress)


def _taken(journal: Journal, cloud: Cloud, stream: Stream, seen: Observation | None) -> Operation:
    learned: list[Data] = []
    if seen is not None and is_news(stream.events, stream.draft(seen.event)):
        learned.append(seen.event)
    history = fold((*stream.events, *(stream.draft(item) for item in learned)))
    operation = _resumable(history)
    learned += _completions(history, operation, cloud.user_id)
    stream.take("resumes", journal.claim, *learned, operation=operation.id)
    past = fold(stream.events).operations[operation.id]
    return journal.running(stream, past.id, past.asked, {step.id: Begun(step.intent, step.completion) for step in past.steps})


def _resumable(history: History) -> Past:
    """Return the operation to resume. Raises NotResumable."""
    operation = history.unfinished
    if operation is None:
        raise NotResumable(history.stream, "no operation of it is unfinished")
    reason = next(_objections(history, operation), None)
    if reason is not None:
        raise NotResumable(history.stream, reason)
    return operation


def _objections(history: History, operation: Past) -> Iterator[str]:
    if history.deletion_asked is not None:
        yield "its deletion was asked for"
    if operation.kind not in (OperationKind.CREATE, OperationKind.SCALE):
        yield f"its {operation.kind} operation is the compensator's to finish"
    if any(step.intent.stage is Stage.ROLLBACK for step in operation.steps):
        yield "its compensation has begun"
    if history.hold is not None:
        yield f"a hold stands, placed by {history.hold.by}: {history.hold.reason}"


def _completions(history: History, operation: Past, user: str) -> Sequence[Completion]:
    """Return what the unfinished steps have come to. Raises NotResumable while a create is in doubt."""
    gone = {verdict.id or verdict.step: verdict for verdict in verdicts(history) if verdict.verdict is VerdictName.GONE}
    where = Origins(history)
    result = []
    for step in operation.steps:
        if step.completion is not None:
            continue
        match step.intent:
            case CreateServer() | CreateResource() as create:
                made = where.original(step)
                if made is not None and made.id not in gone:
                    result.append(completed(create, StepOutcome.SUCCEEDED, made.id))
                elif made is not None or step.id in gone:
                    result.append(completed(create, StepOutcome.ABSENT, None, "nothing carries its mark"))
                else:
                    raise NotResumable(
                        history.stream, f"the create of {create.name!r} is in doubt: {why_in_doubt(history, step, user)}"
                    )
            case DeleteServer() | DeleteResource() as delete if (id_ := deleted_by(delete)) in gone:
                result.append(Completion(step.id, StepOutcome.ABSENT, reason=f"the {gone[id_].kind} is gone"))
            case _:
                result.append(Completion(step.id, StepOutcome.FAILED, reason=INTERRUPTED))
    return result
