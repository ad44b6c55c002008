"""Operations and steps, for the conductor: an intent is committed before a step's body runs, a completion after it.

    with operation.create_server("worker", "c-1-worker-001") as step:
        step.created(cloud.create_server(step, image_id=…, flavor_id=…))

A body that returns has succeeded. One that raises `Refused` has failed for certain. Anything else that the body of a
create or a delete raises leaves the step unfinished: its outcome is unknown, and only the compensator may say what
became of it. The other steps, which act on servers that the journal knows, have failed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import attrs

from journal.clock import Clock
from journal.events import (
    ClusterStatus,
    Completion,
    Configure,
    CreateServer,
    Custom,
    Data,
    Decommission,
    DeleteServer,
    ErrorDuring,
    ErrorRecorded,
    Event,
    Intent,
    OperationFinished,
    OperationKind,
    OperationOutcome,
    Stage,
    Start,
    StepOutcome,
)
from journal.redaction import redacted_text
from journal.settings import Settings
from journal.store import Claim
from journal.stream import Stream

LONGEST_REASON: Final = 1000
"""Characters of an exception's text that are kept as a reason."""


class Refused(Exception):
    """The cloud refused a request for certain: what the step was to do did not happen."""


class Absent(Exception):
    """The server that a delete was for is not there."""


@attrs.define
class Step:
    """A step whose intent is committed. `deadline`: until when a request sent by its body can still be on its way (UTC)."""

    journal: UUID
    cluster: str
    id: UUID
    deadline: datetime
    name: str
    server_id: str | None = None

    def created(self, server_id: str) -> None:
        """Say which server the step created, as soon as the cloud has said it."""
        self.server_id = server_id


class Operation:
    """One running operation of one cluster. Its steps may be run from many threads."""

    def __init__(
        self, journal_id: UUID, stream: Stream, id_: UUID, kind: OperationKind, *, claim: Claim, clock: Clock, settings: Settings
    ) -> None:
        self.journal_id = journal_id
        self.id = id_
        self.kind = kind
        self.stream = stream
        self._claim = claim
        self._clock = clock
        self._settings = settings

    @property
    def cluster(self) -> str:
        """The cluster that the operation is for."""
        return self.stream.id

    @contextmanager
    def create_server(self, node_group: str, name: str) -> Iterator[Step]:
        """Create a server; the body must call `created` on the step once it knows the id."""
        with self._step(lambda s: CreateServer(s.id, Stage.INFRASTRUCTURE, s.deadline, node_group, name), name) as step:
            yield step
            if step.server_id is None:
                msg = f"the body of the create of {name!r} returned without a call of step.created(server_id)"
                raise TypeError(msg)

    @contextmanager
    def delete_server(self, server_id: str) -> Iterator[Step]:
        """Delete a server; the body returns only once it is gone."""
        stage = Stage.INFRASTRUCTURE
        with self._step(lambda s: DeleteServer(s.id, stage, s.deadline, server_id), server_id) as step:
            yield step

    @contextmanager
    def decommission(self, server_ids: Sequence[str]) -> Iterator[Step]:
        """Move data and work off these servers."""
        stage = Stage.DECOMMISSION
        ids = tuple(server_ids)
        with self._step(lambda s: Decommission(s.id, stage, s.deadline, ids), ", ".join(ids)) as step:
            yield step

    @contextmanager
    def configure(self, server_ids: Sequence[str] = ()) -> Iterator[Step]:
        """Configure these servers; none means the whole cluster. List them where you can: it keeps more of them deletable."""
        stage = Stage.CONFIGURE
        ids = tuple(server_ids)
        with self._step(lambda s: Configure(s.id, stage, s.deadline, ids), ", ".join(ids)) as step:
            yield step

    @contextmanager
    def start(self, server_ids: Sequence[str] = ()) -> Iterator[Step]:
        """Start the processes on these servers; none means the whole cluster."""
        stage = Stage.START
        ids = tuple(server_ids)
        with self._step(lambda s: Start(s.id, stage, s.deadline, ids), ", ".join(ids)) as step:
            yield step

    @contextmanager
    def custom(self, stage: Stage, name: str, server_ids: Sequence[str] = (), *, may_hold_data: bool) -> Iterator[Step]:
        """Do something of the conductor's own. `may_hold_data`: whether it can put data on the servers."""
        ids = tuple(server_ids)
        with self._step(lambda s: Custom(s.id, stage, s.deadline, name, ids, may_hold_data), name) as step:
            yield step

    def succeed(self) -> None:
        """End the operation: everything is as asked for."""
        status = ClusterStatus.DELETED if self.kind is OperationKind.DELETE else ClusterStatus.ACTIVE
        self.append(OperationFinished(OperationOutcome.SUCCEEDED, status, ""))

    def record_error(self, reason: str) -> None:
        """Record what went wrong, for people."""
        self.append(ErrorRecorded(ErrorDuring.OPERATION, reason))

    def append(self, *data: Data) -> tuple[Event, ...]:
        """Append to the operation, after whatever others appended, and renew the lease. Raises Fenced when it was taken over."""
        return self.stream.append_next(*data, operation=self.id, claim=self._claim)

    @contextmanager
    def _step(self, intent: Callable[[Step], Intent], name: str) -> Iterator[Step]:
        deadline = self._clock.now() + timedelta(seconds=self._settings.api_timeout_seconds)
        step = Step(self.journal_id, self.cluster, uuid4(), deadline, name)
        begun = intent(step)
        self.append(begun)
        try:
            yield step
        except Refused as error:
            self.append(Completion(step.id, StepOutcome.FAILED, step.server_id, reason=reason_of(error)))
            raise
        except Absent as error:
            self.append(Completion(step.id, StepOutcome.ABSENT, reason=reason_of(error)))
        except Exception as error:
            if not isinstance(begun, CreateServer | DeleteServer):
                self.append(Completion(step.id, StepOutcome.FAILED, reason=reason_of(error)))
            raise
        else:
            self.append(Completion(step.id, StepOutcome.SUCCEEDED, step.server_id))


def reason_of(error: BaseException) -> str:
    """Return an exception as a reason for people, without secrets, never empty and never too long."""
    text = redacted_text(str(error))
    return (f"{type(error).__name__}: {text}" if text else type(error).__name__)[:LONGEST_REASON]
