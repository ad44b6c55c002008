"""Histories as files: JSON Lines, one event a line, one stream or several, read strictly and written in one form."""

import gzip
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final
from uuid import uuid4

import attrs

from journal.codec import FIRST_HASH, decode_line, digest, from_document, to_document
from journal.errors import BrokenChain, JournalError, Malformed, OutOfOrder, UnreadableFile
from journal.events import Event
from journal.rules import StreamRules

_GZIP: Final = b"\x1f\x8b"
"""How a compressed file begins."""
_LONGEST_LINE: Final = 64 << 20
"""Bytes of a line; a compressed file of a few bytes can hold one without end."""
_NAME_LENGTH: Final = 200
"""Bytes of a file's name that are left in the name of its partial one."""


@attrs.define
class _Tail:
    rules: StreamRules = attrs.field(factory=StreamRules)
    hash: str = FIRST_HASH


def read_file(path: Path, bare: Callable[[Event], None] = lambda _: None) -> Iterator[Event]:
    """Yield the events of a file, which may be compressed by gzip, in its order, each with its hash.

    `bare` is called with each event whose line has no hash to check. An empty file is an empty journal.

    Raises UnreadableFile, Malformed, OutOfOrder or BrokenChain; the message names file and line and says what was
    expected.
    """
    try:
        with path.open("rb") as file:
            compressed = file.read(len(_GZIP)) == _GZIP
            file.seek(0)
            lines: IO[bytes] = gzip.GzipFile(fileobj=file) if compressed else file  # type: ignore[assignment]  # it is one
            yield from read_lines(_bounded(lines), name=str(path), bare=bare)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        msg = f"{path}: cannot be decompressed: {error}. The file is damaged."
        raise UnreadableFile(msg) from error
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise UnreadableFile(msg) from error


def is_damage(error: JournalError) -> bool:
    """Whether an error of `read_file` is one of what the file holds, and not of getting at it."""
    cause = error.__cause__
    return not isinstance(cause, OSError) or isinstance(cause, gzip.BadGzipFile)


@contextmanager
def replaced(path: Path, check: Callable[[Path], None] = lambda _: None) -> Iterator[IO[bytes]]:
    """Yield a file to write, which takes the place of `path` once it is whole, durable and has passed `check`.

    If anything is raised until then, `path` is as it was. What is no regular file, a pipe for one, is written as it is.
    Raises OSError.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    partial = path.with_name(f".{path.name[:_NAME_LENGTH]}.{uuid4().hex[:8]}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        check(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Have the names in a folder outlive a power loss."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _bounded(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file, of which none may be so long that no event is."""
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            msg = f"{file.name}: a line has more than {_LONGEST_LINE >> 20} MiB; no event has"
            raise UnreadableFile(msg)
        yield line


def read_lines(lines: Iterable[bytes], *, name: str, bare: Callable[[Event], None] = lambda _: None) -> Iterator[Event]:
    """Yield the events of these lines; `name` is what messages call them, `bare` is that of `read_file`."""
    tails: dict[str, _Tail] = {}
    for number, line in enumerate(lines, start=1):
        try:
            event = _read_line(line, tails, bare)
        except (Malformed, OutOfOrder, BrokenChain) as error:
            msg = f"{name}, line {number}: {error}"
            raise type(error)(msg) from error
        yield event


def _read_line(line: bytes, tails: dict[str, _Tail], bare: Callable[[Event], None]) -> Event:
    document = decode_line(line)
    event = from_document(document)
    if event.hash is None:
        bare(event)
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
