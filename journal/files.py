"""Histories as files: JSON Lines, one event a line, one stream or several, read strictly and written in one form."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs

from journal.codec import FIRST_HASH, decode_line, digest, from_document, to_document
from journal.errors import BrokenChain, JournalError, Malformed, OutOfOrder, UnreadableFile
from journal.events import Event
from journal.rules import StreamRules

_GZIP: Final = b"\x1f\x8b"
"""How a compressed file begins."""


@attrs.define
class _Tail:
    rules: StreamRules = attrs.field(factory=StreamRules)
    hash: str = FIRST_HASH


def read_file(path: Path) -> Iterator[Event]:
    """Yield the events of a file, which may be compressed by gzip, in its order, each with its hash.

    An empty file is an empty journal.

    Raises UnreadableFile, Malformed, OutOfOrder or BrokenChain; the message names file and line and says what was
    expected.
    """
    try:
        with path.open("rb") as file:
            compressed = file.read(len(_GZIP)) == _GZIP
            file.seek(0)
            yield from read_lines(gzip.GzipFile(fileobj=file) if compressed else file, name=str(path))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        msg = f"{path}: cannot be decompressed: {error}. The file is damaged."
        raise UnreadableFile(msg) from error
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise UnreadableFile(msg) from error


def read_lines(lines: Iterable[bytes], *, name: str) -> Iterator[Event]:
    """Yield the events of these lines; `name` is what messages call them."""
    tails: dict[str, _Tail] = {}
    for number, line in enumerate(lines, start=1):
        try:
            event = _read_line(line, tails)
        except (Malformed, OutOfOrder, BrokenChain) as error:
            msg = f"{name}, line {number}: {error}"
            raise type(error)(msg) from error
        yield event


def _read_line(line: bytes, tails: dict[str, _Tail]) -> Event:
    document = decode_line(line)
    event = from_document(document)
    tail = tails.setdefault(event.stream, _Tail())
    try:
        tail.rules.admit(event)
        tail.hash = _checked_hash(tail.hash, document, event)
    except JournalError as error:
        msg = f"cluster {event.stream!r}, version {event.version}: {error}"
        raise type(error)(msg) from error
    return attrs.evolve(event, hash=tail.hash)


def _checked_hash(previous: str, document: dict[str, object], event: Event) -> str:
    if event.hash is None:
        return digest(previous, to_document(event))
    expected = digest(previous, document)
    if event.hash != expected:
        msg = f"hash is {event.hash}, expected {expected}: this line or one before it was changed, removed or moved"
        raise BrokenChain(msg)
    if to_document(event) != document:
        msg = "a line with a hash must be written in canonical form: times in UTC with microseconds and Z, UUIDs in lower case"
        raise Malformed(msg)
    return expected
