"""What SQLite files need to serve OpenStack services with many threads.

* Write-ahead logging and a long busy timeout: readers never wait, writers queue.
* Writers start with BEGIN IMMEDIATE. oslo.db sends a bare BEGIN; a transaction that reads first and writes later then fails
  at once with "database is locked" if another one wrote in between, and the busy timeout does not help.
* Readers do not: they would all queue for the write lock, and creates would time out.

oslo.db's enginefacade knows which of the two a session is; it is handed down as an execution option of the engine.
"""

import sys
from typing import Any

PRAGMAS = ("busy_timeout=60000", "journal_mode=WAL", "synchronous=OFF")
READER = "local_cloud_reader"
SWITCH_INTERVAL = 0.001
"""Seconds: a thread that holds the write lock should get the interpreter back soon."""


def prepare() -> None:
    """Change how this process uses SQLite; to be called before a service makes its first engine."""
    from oslo_db.sqlalchemy import enginefacade
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    sys.setswitchinterval(SWITCH_INTERVAL)

    @event.listens_for(Engine, "connect")
    def set_pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(Engine, "before_cursor_execute", retval=True)
    def begin_immediate(
        connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: Any
    ) -> tuple[str, Any]:
        if statement == "BEGIN" and not connection.get_execution_options().get(READER):
            statement = "BEGIN IMMEDIATE"
        return statement, parameters

    factory = enginefacade._TransactionFactory
    create_session = factory._create_session

    def create_marked_session(self: Any, mode: Any, bind: Any = None) -> Any:
        if bind is None and mode is not enginefacade._WRITER:
            if not self._started:
                self._start()
            if not hasattr(self, "local_cloud_reader_engine"):
                self.local_cloud_reader_engine = self._writer_engine.execution_options(**{READER: True})
            bind = self.local_cloud_reader_engine
        return create_session(self, mode, bind)

    factory._create_session = create_marked_session
