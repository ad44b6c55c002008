"""What opening a long stream would work out again: the state of its rules at one version.

A snapshot saves time and nothing else. It is taken only if this very text of the rules made it, if it is as it was made,
and if the stream still has, at that version, the event that it was made after. Nothing is deleted on its word: the
compensator replays all.
"""

from hashlib import sha256
from inspect import getsource
from typing import Final

import attrs
import msgspec

from journal import codec, events, forms, rules
from journal.rules import StreamRules
from journal.value import Value

EVERY: Final = 1000
"""Events after which a first snapshot is worth while."""


@attrs.frozen(eq=False, repr=False)
class Snapshot(Value):
    """The state of a stream's rules right after a version."""

    stream: str
    version: int
    hash: str
    """That of the event at this version."""
    made_by: str
    """What makes it believed: a hash over the text of the rules that made it, and over the data."""
    data: str


def is_due(version: int, last: int) -> bool:
    """Tell whether a stream at this version is worth another snapshot, the last one being so old. All of them stay small."""
    return _RULES is not None and version - last >= max(EVERY, last // 4)


def taken(stream: str, hash_: str, state: StreamRules) -> Snapshot:
    """Return a snapshot. It leaves out the ids of events: that none is used twice is the store's to see to."""
    data = msgspec.json.encode(attrs.evolve(state, event_ids=set())).decode()
    return Snapshot(stream, state.version, hash_, made_by(data), data)


def state_in(snapshot: Snapshot) -> StreamRules | None:
    """Return the state, or None if another text of the rules made it, or it is not as it was made."""
    if _RULES is None or snapshot.made_by != made_by(snapshot.data):
        return None
    try:
        state = msgspec.json.decode(snapshot.data, type=StreamRules)
    except msgspec.MsgspecError:
        return None
    return state if state.version == snapshot.version else None


def made_by(data: str) -> str:
    """Return what changes with any change to the rules or to what they made."""
    return sha256(f"{_RULES}\0{data}".encode()).hexdigest()


def _text_of_rules() -> str | None:
    """Return the text of what decides, as it is loaded; None where there is only byte code: then nothing is kept."""
    try:
        return "\0".join(getsource(module) for module in (codec, events, forms, rules))
    except OSError:
        return None


_RULES: Final = _text_of_rules()
