"""Checking stored streams: every event in its form, in order, chained to the one before, up to what the guard row says."""

from collections.abc import Iterator

from journal.codec import FIRST_HASH, Document, digest, from_document
from journal.errors import DamagedStream, Malformed, OutOfOrder, StreamArchived
from journal.events import Event
from journal.rules import StreamRules
from journal.store import EventStore, Head


def checked(store: EventStore, head: Head) -> Iterator[Event]:
    """Yield the events of a stream, each one checked; `head`: its guard row, read before. The stream may go on meanwhile.

    Raises DamagedStream at the first bad place, and StreamArchived if the events are moved to a file meanwhile.
    """
    stream, rules, previous = head.stream, StreamRules(), FIRST_HASH
    try:
        for document in store.documents(stream):
            event = _check(document, previous, rules)
            if event.version == head.version and event.hash != head.hash:
                msg = "the event is not the one that the stream's head names"
                raise DamagedStream(stream, event.version, msg)
            if event.version > head.version:
                _expect_head(store, event)
            previous = document["hash"]
            yield event
    except (Malformed, OutOfOrder) as error:
        raise DamagedStream(stream, rules.version + 1, str(error)) from error
    if rules.version < head.version:
        now = store.head(stream)
        if now is not None and now.archived_to is not None:
            raise StreamArchived(stream, now.archived_to)
        msg = f"events are missing: the stream's head says version {head.version}"
        raise DamagedStream(stream, rules.version + 1, msg)


def verify_stream(store: EventStore, head: Head) -> Iterator[DamagedStream | None]:
    """Check one stream: yield None for each good event, and the damage, as the last item, at the first bad place."""
    try:
        for _ in checked(store, head):
            yield None
    except StreamArchived:
        return
    except DamagedStream as damage:
        yield damage


def _check(document: Document, previous: str, rules: StreamRules) -> Event:
    version, event = rules.version + 1, from_document(document)
    if event.version != version:
        msg = f"the event is missing: the next one stored is version {event.version}"
        raise DamagedStream(event.stream, version, msg)
    rules.admit(event)
    expected = digest(previous, document)
    if event.hash != expected:
        msg = f"hash is {event.hash}, expected {expected}: the event was changed, or one before it is missing or moved"
        raise DamagedStream(event.stream, version, msg)
    return event


def _expect_head(store: EventStore, event: Event) -> None:
    """Make sure that an event past the head as it was is there because the stream has gone on."""
    now = store.head(event.stream)
    if now is None or now.version < event.version:
        msg = f"the event stands past the stream's head, which says version {0 if now is None else now.version}"
        raise DamagedStream(event.stream, event.version, msg)
