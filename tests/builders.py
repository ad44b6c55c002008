"""Events in a line or two, for tests."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from journal.codec import FIRST_HASH
from journal.events import CreateServer, Data, Event, OperationKind, OperationStarted, Stage
from journal.store import chained

T0 = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
CLOUD = "RegionOne/5f0c4d"


def started(kind: OperationKind = OperationKind.CREATE, victims: Sequence[str] = ()) -> OperationStarted:
    """Return the start of an operation."""
    return OperationStarted(kind, "conductor-a", CLOUD, tuple(victims), {})


def create_server(name: str = "w1", step: UUID | None = None) -> CreateServer:
    """Return the intent of a create."""
    return CreateServer(step or uuid4(), Stage.INFRASTRUCTURE, T0 + timedelta(seconds=60), "worker", name)


def events(
    *data: Data, stream: str = "c-1", after: int = 0, epoch: int = 1, operation: UUID | None = None, previous: str = FIRST_HASH
) -> tuple[Event, ...]:
    """Return chained events of one stream, following version `after`, a second apart."""
    drafts = [
        Event(stream, version, uuid4(), T0 + timedelta(seconds=version), epoch, operation, item)
        for version, item in enumerate(data, start=after + 1)
    ]
    return chained(previous, drafts)
