"""Checking stored streams: every event in its form, in order, chained to the one before, up to what the guard row says."""

from collections.abc import Iterator

from journal.codec import FIRST_HASH, Document, digest, from_document
from journal.errors import DamagedStream, Malformed, OutOfOrder, StreamArchived
from journal.events import Event
from journal.rules import StreamRules
from journal.store import EventStore, Head


def checked(store: EventStore, head: Head, rules: StreamRules | None = None) -> Iterator[Event]:
    """Yield the events of a stream, each one checked; `head`: its guard row, read before. The stream may go on meanwhile.

    `rules` takes the events in, and then knows what they amount to. Raises DamagedStream at the first bad place, and
    StreamArchived if the events are moved to a file meanwhile.
    """
    try:
        yield from _checked(store, head, StreamRules() if rules is None else rules)
    except DamagedStream as damage:
        now = store.head(head.stream)
        if now is not None and now.archived_to is not None:
            raise StreamArchived(head.stream, now.archived_to) from damage
        raise


def _checked(store: EventStore, head: Head, rules: StreamRules) -> Iterator[Event]:
    stream, previous = head.stream, FIRST_HASH
    try:
        for document in store.documents(stream):
            event = _check(document, previous, rules)
            if event.version == head.version and event.hash != head.hash:
                msg = "the event is not the one that the stream's head names"
                raise DamagedStream(stream, event.version, msg)
            if event.version == head.version:
                _expect_state(head, rules)
            if event.version > head.version:
                _expect_head(store, event)
            previous = document["hash"]
            yield event
    except (Malformed, OutOfOrder) as error:
        raise DamagedStream(stream, rules.version + 1, str(error)) from error
    if rules.version < head.version:
        msg = f"events are missing: the stream's head says version {head.version}"
        raise DamagedStream(stream, rules.version + 1, msg)


def verify_stream(store: EventStore, head: Head) -> Iterator[DamagedStream | None]:
    """Check one stream: yield None for each good event, and the damage, as the last item, at the first bad place.

    The index of its unfinished steps is checked, too.
    """
    rules = StreamRules()
    try:
        for _ in checked(store, head, rules):
            yield None
        _expect_index(store, head.stream, rules)
    except StreamArchived:
        return
    except DamagedStream as damage:
        yield damage


def _expect_index(store: EventStore, stream: str, rules: StreamRules) -> None:
    """Make sure that the index has the steps that the events leave unfinished, unless the stream has gone on."""
    expected = {id_ for id_, step in rules.steps.items() if not (step.completed or rules.operations[step.operation].finished)}
    found = {step.step for step in store.unfinished_steps(stream)}
    now = store.head(stream)
    if found != expected and now is not None and now.version == rules.version:
        wrong = ", ".join(str(step) for step in sorted(found ^ expected))
        msg = f"the index of unfinished steps has {len(found)}, the events have {len(expected)}; they differ in {wrong}"
        raise DamagedStream(stream, rules.version, msg)


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


def _expect_state(head: Head, rules: StreamRules) -> None:
    """Make sure that the guard row says of epoch and unfinished operation what the events say."""
    if (head.epoch, head.operation) != (rules.epoch, rules.current):
        msg = (
            f"the stream's head says epoch {head.epoch}, unfinished operation {head.operation}; "
            f"its events say epoch {rules.epoch}, unfinished operation {rules.current}"
        )
        raise DamagedStream(head.stream, head.version, msg)


def _expect_head(store: EventStore, event: Event) -> None:
    """Make sure that an event past the head as it was is there because the stream has gone on."""
    now = store.head(event.stream)
    if now is None or now.version < event.version:
        msg = f"the event stands past the stream's head, which says version {0 if now is None else now.version}"
        raise DamagedStream(event.stream, event.version, msg)
