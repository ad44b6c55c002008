"""The journal as its users open it: a store, a clock, and who is at work."""

import os
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

from journal.catch_up import CatchUp, Seen
from journal.clock import Clock, SystemClock
from journal.errors import OutOfOrder, OwnerAlive, UnknownStream
from journal.events import (
    AdoptedServer,
    ClusterStatus,
    Event,
    HoldPlaced,
    HoldReleased,
    OperationFinished,
    OperationKind,
    OperationOutcome,
    OperationStarted,
    OperatorResolved,
    ResourceKind,
    ServersAdopted,
    Word,
)
from journal.recorder import Begun, Operation, Workplace
from journal.settings import Settings
from journal.store import Claim, EventStore
from journal.stream import Stream
from journal.threads import SystemThreads, Threads
from journal.verify import checked


def abandoned(by: str, reason: str, *, is_deleted: bool) -> OperationFinished:
    """Return the end of an operation that somebody gives up; `is_deleted`: whether its cluster had ended as Deleted before."""
    status = ClusterStatus.DELETED if is_deleted else ClusterStatus.ERROR
    return OperationFinished(OperationOutcome.ABANDONED, status, f"abandoned by {by}{f': {reason}' if reason else ''}")


class Journal:
    """A journal of provisioning: one stream of events a cluster. Safe to use from many threads."""

    def __init__(
        self,
        store: EventStore,
        *,
        conductor: str | None = None,
        clock: Clock | None = None,
        settings: Settings | None = None,
        threads: Threads | None = None,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        """`new_id` gives each event, operation and step its id: a simulation draws them from its seed."""
        self.store = store
        self.clock = clock or SystemClock()
        self.settings = settings or Settings()
        self.threads = threads or SystemThreads()
        self.new_id = new_id
        self._conductor = conductor

    @classmethod
    def open(
        cls,
        url: str,
        *,
        upgrade: bool = False,
        strict: bool = False,
        conductor: str | None = None,
        settings: Settings | None = None,
    ) -> Self:
        """Open the journal at an SQLAlchemy database URL, `sqlite:///path` for one. `upgrade` makes or upgrades its tables.

        Settings of the database under which what was acknowledged could be lost are logged, or refused if `strict`.
        Raises StoreError, with the next step, where there is no journal or its tables are not this library's.
        """
        from journal.sql.store import open_store  # noqa: PLC0415 (SQLAlchemy is loaded only by those who need a database)

        return cls(open_store(url, upgrade=upgrade, strict=strict), conductor=conductor, settings=settings)

    @property
    def conductor(self) -> str:
        """Who this conductor is: the name that was given, else host and process, which are others after a fork."""
        return self._conductor or f"{os.uname().nodename}:{os.getpid()}"

    @property
    def id(self) -> UUID:
        """The journal's id, which marks its resources in the cloud."""
        return self.store.journal_id

    @property
    def claim(self) -> Claim:
        """What this conductor claims when it takes a stream: itself as owner, for the length of a lease."""
        return Claim(self.conductor, self.settings.lease_seconds)

    def stream(self, cluster: str) -> Stream:
        """Return the stream of a cluster, read to its end. Raises UnknownStream, and what `Stream.load` raises."""
        stream = Stream.load(self.store, cluster, self.clock, self.new_id)
        if not stream.version:
            raise UnknownStream(cluster)
        return stream

    def _writer(self, cluster: str) -> Stream:
        """Return the stream of a cluster for appending, of which not all need be read; a new one if there is none."""
        return Stream.load(self.store, cluster, self.clock, self.new_id, whole=False)

    def _existing(self, cluster: str) -> Stream:
        stream = self._writer(cluster)
        if not stream.version:
            raise UnknownStream(cluster)
        return stream

    def catch_up(self, position: Mapping[str, Seen] | None = None) -> CatchUp:
        """Return a reader of all clusters' events, each once: from the beginning, or on from where another one stopped."""
        return CatchUp(self.store, position)

    def begin(
        self, cluster: str, kind: OperationKind, cloud: str, *, victims: Sequence[str] = (), request: dict[str, Any] | None = None
    ) -> Operation:
        """Begin an operation and become the owner of the cluster's stream.

        `cloud` says which region and project; `victims`: the servers that a scale will remove, and what goes
        with them; `request`: what was asked for, without secrets and without floats. Raises OwnerAlive, and OutOfOrder
        if the cluster is not in a state for it: Deleted, say, or about to be.
        """
        self.refuse_live_owner(cluster)
        stream = self._writer(cluster)
        if stream.deletion_stands and kind != OperationKind.DELETE:
            msg = (
                f"a {kind} of {cluster!r} cannot begin: somebody asked for the cluster's deletion, and it has not come to "
                f"an end. `provjournal rollback {cluster}` carries it out"
            )
            raise OutOfOrder(msg)
        operation = self.new_id()
        begun = OperationStarted(OperationKind(kind), self.conductor, cloud, tuple(victims), request or {})
        if stream.version:
            stream.take(f"begins a {kind}", self.claim, begun, operation=operation)
        else:
            stream.append(begun, operation=operation, claim=self.claim)
        return self.running(stream, operation, begun)

    def running(
        self, stream: Stream, operation: UUID, started: OperationStarted, begun: Mapping[UUID, Begun] | None = None
    ) -> Operation:
        """Return an operation that this conductor owns; `begun`: its steps so far."""
        workplace = Workplace(self.id, self.claim, self.clock, self.settings, self.threads, self.new_id)
        return Operation(workplace, stream, operation, started, begun)

    def request_deletion(self, cluster: str, *, by: str, reason: str = "") -> Event:
        """Record that a user wants the cluster deleted. It fences whoever is at work on it; `rollback_cluster` then cleans up."""
        return self._existing(cluster).request_deletion(by, reason)

    def hold(self, cluster: str, *, by: str, reason: str) -> Event:
        """Place a hold: from here on nothing is deleted in this cluster, not even for a user's deletion."""
        return self._existing(cluster).append_next(HoldPlaced(by, reason))[0]

    def release(self, cluster: str, *, by: str, reason: str) -> Event:
        """Lift the hold."""
        return self._existing(cluster).append_next(HoldReleased(by, reason))[0]

    def resolve(self, cluster: str, id_: str, word: Word, *, by: str, reason: str) -> Event:
        """Record an operator's word of a server, or of what one brings along, by its id: it overrides replay.

        `word` is `new`, `unneeded`, `unsafe` or `in_service`. Raises UnknownStream, and OutOfOrder for an id that the
        cluster does not know.
        """
        stream = self._existing(cluster)
        kind = stream.kind_of(id_)
        if kind is None:
            msg = f"Cluster {cluster!r}: {id_} is not known to this stream"
            raise OutOfOrder(msg)
        is_server = kind is ResourceKind.SERVER
        said = OperatorResolved(word, by, reason, id_ if is_server else None, None, None if is_server else id_)
        return stream.append_next(said)[0]

    def resolve_gone(self, cluster: str, step: UUID, *, by: str, reason: str) -> Event:
        """Record an operator's word that a create made nothing, or that what it made is gone: it is not in doubt any more."""
        return self._existing(cluster).append_next(OperatorResolved(Word.GONE, by, reason, step=step))[0]

    def abandon(self, cluster: str, operation: UUID, *, by: str, reason: str) -> Event:
        """End this unfinished operation as one that nobody can finish: nothing that it left is deleted for it any more.

        Who gave it up and why stands in its end. It stays reported as left over, for a person to decide; a request for the
        cluster's deletion ends with it. Raises UnknownStream, OwnerAlive, OutOfOrder where it is not the operation that is
        unfinished, and VersionConflict if somebody was faster.
        """
        stream = self._existing(cluster)
        self.refuse_live_owner(cluster, even_own=True)
        if operation != stream.unfinished:
            now = "none is" if stream.unfinished is None else f"{stream.unfinished} is"
            msg = f"operation {operation} of {cluster!r} is not unfinished any more: {now}. Nothing was abandoned"
            raise OutOfOrder(msg)
        end = abandoned(by, reason, is_deleted=stream.is_deleted)
        taken = stream.take("abandons the operation", self.claim, end, operation=operation)
        stream.release(self.conductor)
        return taken[-1]

    def adopt(self, cluster: str, servers: Sequence[AdoptedServer], cloud: str, *, by: str, reason: str) -> Event:
        """Record that servers which existed before their journal are in service. Mark them in the cloud first."""
        stream = self._writer(cluster)
        return stream.append_next(ServersAdopted(tuple(servers), cloud, by, reason))[0]

    def refuse_damage(self, cluster: str) -> None:
        """Raise DamagedStream unless every stored event of the cluster is as it was written."""
        head = self.store.head(cluster)
        if head is not None:
            for _ in checked(self.store, head):
                pass

    def refuse_live_owner(self, cluster: str, *, even_own: bool = False) -> None:
        """Raise OwnerAlive while another conductor's lease on the cluster lives; `even_own`: or this one's."""
        head = self.store.head(cluster)
        if head is not None and head.owner_alive and (even_own or head.owner != self.conductor):
            assert head.owner is not None
            assert head.lease_expires_at is not None
            raise OwnerAlive(cluster, head.owner, head.lease_expires_at)

    def close(self) -> None:
        """Let go of files and connections."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
