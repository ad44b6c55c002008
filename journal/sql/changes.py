"""What appends change, as rows of the tables: guard rows, events, and the index of unfinished steps."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
import msgspec

from journal.codec import Document, to_document
from journal.events import Completion, Event, Intent, OperationFinished, OperationStarted
from journal.store import Claim
from journal.wording import subject

Row = Mapping[str, Any]
Takes = Literal["claim", "release"] | None
"""What an append does to ownership."""


@attrs.define
class Entry:
    """Chained events to append to one stream, and what has to be so before them."""

    events: Sequence[Event]
    previous_hash: str
    expected_epoch: int
    claim: Claim | None
    documents: Sequence[Document] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the documents here, where nobody waits for it."""
        self.documents = [to_document(event) for event in self.events]

    @property
    def stream(self) -> str:
        """The stream that is appended to."""
        return self.events[0].stream


@attrs.frozen
class Swap:
    """How a guard row is compared and swapped, or made if its stream is new."""

    is_new: bool
    takes: Takes
    sets_operation: bool
    """Whether it is said which operation is unfinished from here on."""
    values: Row


@attrs.define
class Changes:
    """What appends change, taken together."""

    swaps: list[Swap] = attrs.field(factory=list)
    events: list[Row] = attrs.field(factory=list)
    ended: set[str] = attrs.field(factory=set)
    """The streams of which an operation ended: all that was unfinished before is not any more."""
    begun: dict[tuple[str, str], Row] = attrs.field(factory=dict)
    """The steps to add to the index, each by its stream and its id."""
    done: list[Row] = attrs.field(factory=list)
    """The steps to take out of the index: stream and id of each."""

    @property
    def streams(self) -> list[str]:
        """The streams that are appended to, in order."""
        return [swap.values["stream"] for swap in self.swaps]

    @property
    def stand_alone(self) -> bool:
        """Whether none of the appends rests on what another one of them changes, and none makes a stream."""
        return not any(swap.is_new for swap in self.swaps) and len({*self.streams}) == len(self.swaps)

    def take(self, entry: Entry) -> None:
        """Take in one more append."""
        self.swaps.append(_swap(entry))
        for event, document in zip(entry.events, entry.documents, strict=True):
            self.events.append(event_row(document))
            self._index(event, document)

    def _index(self, event: Event, document: Document) -> None:
        match event.data:
            case Completion():
                step = document["data"]["step"]
                if self.begun.pop((event.stream, step), None) is None:
                    self.done.append({"stream_id": event.stream, "step": step})
            case OperationFinished():
                self.ended.add(event.stream)
                self.begun = {key: row for key, row in self.begun.items() if row["stream_id"] != event.stream}
            case data if isinstance(data, Intent):
                self.begun[event.stream, document["data"]["step"]] = unfinished_row(document, data)
            case _:
                pass


def changes(entries: Sequence[Entry]) -> Changes:
    """Return what these appends change, done in this order."""
    result = Changes()
    for entry in entries:
        result.take(entry)
    return result


def _swap(entry: Entry) -> Swap:
    first, last, claim = entry.events[0], entry.events[-1], entry.claim
    values: dict[str, Any] = {"stream": first.stream, "version": last.version, "head_hash": last.hash, "epoch": last.epoch}
    if claim is not None:
        values |= {"owner": claim.owner, "lease_seconds": claim.seconds}
    takes: Takes = "claim" if claim is not None else "release" if last.epoch > entry.expected_epoch else None
    for event in entry.events:
        if isinstance(event.data, OperationStarted):
            values["operation"] = str(event.operation)
        elif isinstance(event.data, OperationFinished):
            values["operation"] = None
    if first.version == 1:
        return Swap(is_new=True, takes=takes, sets_operation=True, values={"operation": None, **values})
    values |= {"before": first.version - 1, "epoch_before": entry.expected_epoch, "hash_before": entry.previous_hash}
    return Swap(is_new=False, takes=takes, sets_operation="operation" in values, values=values)


def event_row(document: Document) -> Row:
    """Return the row of a chained event."""
    row = {key: document[key] for key in ("version", "type", "schema", "recorded_at", "epoch", "operation", "hash")}
    data = msgspec.json.encode(document["data"]).decode()
    return {"stream_id": document["stream"], "event_id": document["id"], "data": data, **row}


def unfinished_row(document: Document, intent: Intent) -> Row:
    """Return an intent as the index of unfinished steps has it."""
    row = {key: document[key] for key in ("version", "operation", "recorded_at")}
    row |= {key: document["data"][key] for key in ("step", "stage", "action", "deadline")}
    return {"stream_id": document["stream"], "subject": subject(intent), **row}
