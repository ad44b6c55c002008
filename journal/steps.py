"""Steps, as the conductor runs them: an intent is committed before a step's body runs, a completion after it.

A body that returns has succeeded. One that raises `Refused` has failed for certain. Anything else that the body of a
create or a delete raises leaves the step unfinished: its outcome is unknown, and only the compensator may say what
became of it. The other steps, which act on servers that the journal knows, have failed.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from types import TracebackType
from typing import Final, Protocol, final
from uuid import UUID

import attrs

from journal.events import Completion, Create, Delete, Intent, ResourceKind, StepOutcome
from journal.redaction import redacted_text
from journal.telemetry import fields, span

LONGEST_REASON: Final = 1000
"""Characters of an exception's text that are kept as a reason."""


class Refused(Exception):
    """The cloud refused a request for certain: what the step was to do did not happen."""


class Absent(Exception):
    """What a delete was for is not there."""


@attrs.define
class Step:
    """A step whose intent is committed. `deadline`: until when a request sent by its body can still be on its way (UTC)."""

    journal: UUID
    cluster: str
    id: UUID
    deadline: datetime
    name: str
    """The name of what is to be created, else what the step is about."""
    action: str = "create_server"
    operation: UUID | None = None
    kind: ResourceKind = ResourceKind.SERVER
    """What it creates or deletes."""
    server_ids: tuple[str, ...] = ()
    """The servers, and what goes with them, that it acts on."""
    server_id: str | None = None
    """The server that it created."""
    resource_id: str | None = None
    """What it created if that is no server."""
    user: str | None = None
    """To whom what it creates belongs, if its kind belongs to a user and that was said."""
    was_done: bool = False
    """Whether it had succeeded before this process ran the operation, so that its body did not run again."""

    @property
    def about(self) -> dict[str, str]:
        """What a log record or a span says that it is about."""
        return fields(self.cluster, self.operation, self.id)

    @property
    def made(self) -> str | None:
        """The id of what it created, whatever that is."""
        return self.server_id if self.kind is ResourceKind.SERVER else self.resource_id

    @made.setter
    def made(self, id_: str | None) -> None:
        if self.kind is ResourceKind.SERVER:
            self.server_id = id_
        else:
            self.resource_id = id_

    def created(self, id_: str) -> None:
        """Say what the step created, by its id, as soon as the cloud has said it.

        Raises ValueError if the step has created another one: a step makes one thing, that its marks are found by.
        """
        if self.made not in (None, id_):
            msg = f"the step {self.name!r} created {self.made}; {id_} needs a step of its own"
            raise ValueError(msg)
        self.made = id_


Body = Callable[[Step], object]
"""What a step does. What it returns is of no matter."""


class StepRecorder(Protocol):
    """What records steps: the operation that they belong to."""

    def begin(self, planned: "PlannedStep") -> Step:
        """Commit the intent. Raises Fenced, before anything was done, if the operation was taken over."""

    def end(self, step: Step, error: BaseException | None) -> None:
        """Record how the body ended, as far as that is known. Raises TypeError for a create that never said what it created."""

    def done(self, planned: "PlannedStep") -> Step | None:
        """Return the step if it has succeeded already."""


@final
class PlannedStep(AbstractContextManager[Step]):
    """A step that has not begun. A `with` statement runs it, or `run`, or many of them `Operation.run_all`.

    Its `key` is what it is recognized by when its operation is resumed by another process; without one, it is new.
    """

    def __init__(self, recorder: StepRecorder, intent: Callable[[UUID, datetime], Intent], name: str, key: str | None) -> None:
        self.intent = intent
        self.name = name
        self.key = key
        self._recorder = recorder
        self._step: Step | None = None
        self._span = ExitStack()

    def run(self, body: Body) -> Step:
        """Run the step with this body, and return it; if it has succeeded already, the body does not run."""
        done = self._recorder.done(self)
        if done is not None:
            return done
        with self as step:
            body(step)
        return step

    def __enter__(self) -> Step:
        if self._recorder.done(self) is not None:
            msg = (
                f"The step with the key {self.key!r} has succeeded already. A `with` statement cannot leave out its block: "
                "use `run(body)`, which can."
            )
            raise TypeError(msg)
        self._step = self._recorder.begin(self)
        self._span.enter_context(span(self._step.action, self._step.about))
        return self._step

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        assert self._step is not None, "it was entered"
        self._span.__exit__(kind, error, trace)
        self._recorder.end(self._step, error)
        return isinstance(error, Absent)


def silent_create(step: Step) -> TypeError:
    """Return the error for the body of a create that never said what it created."""
    return TypeError(f"the body of the create of {step.name!r} returned without a call of step.created(id)")


def completion_of(step: Step, intent: Intent, error: BaseException | None) -> Completion | None:
    """Return the completion of a step whose body ended like this, or None where its outcome is unknown."""
    outcome = _outcome(step, intent, error)
    if outcome is None:
        return None
    reason = None if error is None else reason_of(error)
    return Completion(step.id, outcome, step.server_id, reason, step.resource_id)


def _outcome(step: Step, intent: Intent, error: BaseException | None) -> StepOutcome | None:
    if error is None:
        is_silent = isinstance(intent, Create) and step.made is None
        return None if is_silent else StepOutcome.SUCCEEDED
    if isinstance(intent, Delete) and isinstance(error, Absent):
        return StepOutcome.ABSENT
    if isinstance(error, Refused):
        return StepOutcome.FAILED
    if isinstance(intent, Create | Delete) or not isinstance(error, Exception):
        return None
    return StepOutcome.FAILED


def reason_of(error: BaseException) -> str:
    """Return an exception, with its notes, as a reason for people: without secrets, never empty and never too long."""
    text = redacted_text("; ".join((str(error), *getattr(error, "__notes__", ()))).removeprefix("; "))
    return (f"{type(error).__name__}: {text}" if text else type(error).__name__)[:LONGEST_REASON]
