"""Checking a stored journal: every event in its form, in order, chained to the one before, up to what the guard row says."""

from collections.abc import Iterator

import attrs

from journal.codec import FIRST_HASH, Document, digest, from_document
from journal.errors import Malformed, OutOfOrder
from journal.rules import StreamRules
from journal.store import EventStore, Head


@attrs.frozen
class Damage:
    """The first bad place of a stream."""

    stream: str
    version: int
    what: str


def verify_stream(store: EventStore, head: Head) -> Iterator[Damage | None]:
    """Check one stream: yield None for each good event, and a Damage, as the last item, at the first bad place."""
    rules, previous = StreamRules(), FIRST_HASH
    for document in store.documents(head.stream):
        version = rules.version + 1
        damage = _check(document, previous, rules)
        if damage is not None:
            yield Damage(head.stream, version, damage)
            return
        previous = document["hash"]
        yield None
    if rules.version < head.version:
        yield Damage(head.stream, rules.version + 1, f"events are missing: the stream's head says version {head.version}")
    elif (rules.version, previous) != (head.version, head.hash):
        yield Damage(
            head.stream, rules.version, f"the last event is not the one that the stream's head names (version {head.version})"
        )


def _check(document: Document, previous: str, rules: StreamRules) -> str | None:
    try:
        rules.admit(from_document(document))
    except (Malformed, OutOfOrder) as error:
        return str(error)
    expected = digest(previous, document)
    if document.get("hash") != expected:
        return f"hash is {document.get('hash')}, expected {expected}: the event was changed, or one before it is missing or moved"
    return None
