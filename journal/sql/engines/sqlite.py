"""SQLite: a file, one writer at a time."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import attrs
import psutil
from sqlalchemy import Connection, Engine, ExceptionContext, TextClause, event, text
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from journal.errors import SchemaNotCurrent, StoreError, StoreUnavailable
from journal.sql.engines.backend import READS, Away, Failure

_PRAGMAS: Final = (
    "PRAGMA busy_timeout = 30000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",  # without it INSERT OR REPLACE passes the append-only triggers
)
NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "ceph", "fuse.ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs"}
)
"""File systems without the locks and the shared memory that SQLite rests on."""
_READS_ONLY: Final = "provjournal_reads_only"
"""Stands in the info of a connection that may only read."""
_UNLOCKED: Final = "provjournal_unlocked"
"""Stands there, too, if it reads without locks: what the file was like before."""
_DOUBTFUL: Final = "provjournal_doubtful"
"""Is set in an error of a connection that may only read, where the file may have been changed meanwhile."""
_CHANGED: Final = "it was changed each time while it was read; work as a user who may write the file and its folder"
_ADVICE: Final = {
    "SQLITE_FULL": "Make room where it lies; all that was acknowledged is there.",
    "SQLITE_IOERR": "Look at its disk; all that was acknowledged is there, if the disk is sound.",
    "SQLITE_READONLY": "Work as a user who may write the file and its folder.",
    "SQLITE_CANTOPEN": "Check the path, and that you may write the file and its folder.",
    "SQLITE_BUSY": "Another process keeps it locked; end that one, or wait, and try again.",
    "SQLITE_NOTADB": "It is no journal; check the path.",
    "SQLITE_CORRUPT": "Restore it from a backup and run `provjournal journal restored`.",
}
"""By the beginning of SQLite's extended code."""
_DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_UNLOCKED_ADVICE: Final = (
    "It was read without locks, as you may not write it; see with `provjournal journal verify`, as a user who may, how it is."
)
_CONFLICTS: Final = ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE")
_BEGIN: Final = "BEGIN IMMEDIATE"


class Sqlite:
    """The embedded default."""

    driver = "sqlite+pysqlite"
    extra: str | None = None
    at_once = None
    few = None

    def check(self, url: URL) -> None:
        """Demand a file: a database in memory is no journal."""
        if url.database in (None, "", ":memory:"):
            msg = "The journal's URL names no file; expected sqlite:///path/to/journal.db"
            raise StoreError(msg)

    def check_place(self, url: URL, *, make: bool) -> None:
        """Demand a folder, and the file unless it is to be made: SQLite would make an empty one by looking."""
        path, shown = _path(url), url.set(drivername="sqlite").render_as_string()
        if not path.exists() and not make:
            msg = f"There is no journal at {shown}. Make it with `provjournal journal upgrade`."
            raise SchemaNotCurrent(msg)
        if not path.absolute().parent.is_dir():
            msg = f"The journal at {shown} cannot be made: there is no folder {path.parent}"
            raise StoreUnavailable(msg)

    def options(self) -> dict[str, Any]:
        """Return nothing: the defaults will do."""
        return {}

    def prepare(self, engine: Engine) -> None:
        """Have writers lock at once and durably, and the driver begin no transactions of its own."""
        event.listen(engine, "do_connect", _open_as_permitted)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        event.listen(engine, "handle_error", _doubt)
        event.listen(engine, "checkin", _let_go)

    def upgrading(self, engine: Engine) -> AbstractContextManager[None]:  # noqa: ARG002 (the port's)
        """Nothing: an upgrade is one transaction."""
        return nullcontext()

    def prepare_upgrade(self, connection: Connection) -> None:
        """Nothing: the transaction has the file's only write lock, and readers go on reading."""

    def weaknesses(self, connection: Connection) -> Sequence[str]:
        """Look at the file system and at the journal mode; what else matters is set on each connection."""
        path = _path(connection.engine.url).resolve()
        found = []
        kind = file_system(path, [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)])
        if kind in NETWORK_FILE_SYSTEMS:
            found.append(
                f"{path} lies on a network file system ({kind}), where SQLite's locks are not reliable; use a local disk"
            )
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        if mode != "wal" and not connection.info.get(_READS_ONLY):  # it is not told to those who only read
            found.append(f"journal_mode is {mode}, expected wal")
        return found

    @contextmanager
    def reading(self, connection: Connection) -> Iterator[None]:
        """Compare the file before and after, where nothing keeps writers from changing it meanwhile."""
        before = connection.info.get(_UNLOCKED)
        try:
            yield
        except DBAPIError as error:
            if before not in (None, _state(_path(connection.engine.url))):
                raise Away(_CHANGED) from error
            raise
        if before not in (None, _state(_path(connection.engine.url))):
            raise Away(_CHANGED)

    def begin(self, connection: DBAPIConnection) -> None:
        """Lock at once: a transaction that reads first may find out too late that it may not write."""
        connection.cursor().execute(_BEGIN)

    def size(self) -> TextClause:
        """Ask for the pages of the file; the write-ahead log comes on top until it is merged."""
        return text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")

    def advice(self, error: DBAPIError) -> str:
        """Tell by SQLite's extended code."""
        name = getattr(error.orig, "sqlite_errorname", "")
        if getattr(error.orig, _DOUBTFUL, False) and name.startswith(_DAMAGE):
            return _UNLOCKED_ADVICE
        return next((advice for code, advice in _ADVICE.items() if name.startswith(code)), "")

    def failure(self, error: DBAPIError) -> Failure:
        """Tell by SQLite's extended code. A trigger arrives as an IntegrityError, too."""
        name = getattr(error.orig, "sqlite_errorname", "")
        if name in _CONFLICTS:
            return Failure.CONFLICT
        if getattr(error.orig, _DOUBTFUL, False):
            return Failure.DOUBTFUL
        return Failure.ABORTED if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) else Failure.FINAL


def file_system(path: Path, mounts: Iterable[tuple[str, str]]) -> str:
    """Return the type of the file system that a path lies on: that of the innermost mount, the last one where several are."""
    kinds = dict(mounts)
    return next((kinds[str(point)] for point in (path, *path.parents) if str(point) in kinds), "")


def _path(url: URL) -> Path:
    assert url.database is not None, "checked when the URL was parsed"
    return Path(url.database.removeprefix("file:"))


def _open_as_permitted(_: object, entry: ConnectionPoolEntry, args: list[Any], more: dict[str, Any]) -> None:
    """Open the file only for reading where more is not permitted: who looks needs no right to write.

    Where nobody has it open, the files that SQLite shares among processes are not there, and a reader may not make them;
    it is told then that the file does not change (https://sqlite.org/wal.html, "Read-Only Databases"). That is so until a
    writer comes, so such a connection is for one look.
    """
    path = Path(args[0])
    if not path.exists() or _may_write(path):
        return
    state = _state(path)
    entry.info[_READS_ONLY] = True
    if not state.is_open:
        entry.info[_UNLOCKED] = state
    args[0] = f"{path.absolute().as_uri()}?mode=ro{'' if state.is_open else '&immutable=1'}"
    more["uri"] = True


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK)


@attrs.frozen
class _State:
    """What tells that a file was changed; `is_open`: whether somebody has it open who may write."""

    file: int
    size: int
    modified: int
    changed: int
    is_open: bool


def _state(path: Path) -> _State:
    found = path.stat()
    is_open = path.with_name(f"{path.name}-wal").exists()
    return _State(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, is_open)


def _let_go(_: sqlite3.Connection | None, entry: ConnectionPoolEntry) -> None:
    """Keep no connection that may only read: how the file is to be opened is another thing once a writer comes or goes."""
    if entry.info.get(_READS_ONLY):
        entry.invalidate()


def _doubt(context: ExceptionContext) -> None:
    """Mark the errors that a writer who comes or goes can bring about for one who may only read."""
    info = {} if context.connection is None or context.connection.invalidated else context.connection.info
    name = getattr(context.original_exception, "sqlite_errorname", "")
    if (_UNLOCKED in info and name.startswith(_DAMAGE)) or (_READS_ONLY in info and name.startswith("SQLITE_CANTOPEN")):
        setattr(context.original_exception, _DOUBTFUL, True)


def _prepare(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions of its own: its deferred ones let a stale epoch's append through.
    connection.isolation_level = None
    for pragma in _PRAGMAS[:1] if entry.info.get(_READS_ONLY) else _PRAGMAS:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get(READS):
        connection.exec_driver_sql(_BEGIN)
