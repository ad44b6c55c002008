"""A TCP proxy in front of a database server that cuts connections while a COMMIT is on its way."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Self


class Cut(Enum):
    """What happens to a COMMIT."""

    NOT = "it arrives, and so does its answer"
    BEFORE = "it never arrives"
    AFTER = "it arrives, but its answer is lost"
    LATE = "the client is cut off, and a little later it arrives"


LATE_SECONDS = 0.1
COMMITS = (b"COMMIT", b'"sets_operation"')
"""What stands in a request that commits; the second in PostgreSQL's one statement for appends."""


class CommitCutter:
    """A proxy on a free port of loopback; `decide` says of each COMMIT what becomes of it, `late` waits before a late one."""

    def __init__(
        self, port: int, decide: Callable[[], Cut], late: Callable[[], object] = lambda: time.sleep(LATE_SECONDS)
    ) -> None:
        self._target = ("127.0.0.1", port)
        self._decide = decide
        self._late = late
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for one in self._open:
            cut(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._open += [client, server]
            threading.Thread(target=self._pump_requests, args=(client, server), daemon=True).start()
            threading.Thread(target=self._pump_answers, args=(client, server), daemon=True).start()

    def _pump_requests(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                what = self._decide() if any(word in data for word in COMMITS) else Cut.NOT
                if what in (Cut.BEFORE, Cut.AFTER, Cut.LATE):
                    cut(client)
                if what is Cut.LATE:
                    self._late()
                if what is not Cut.BEFORE:
                    server.sendall(data)
                if what in (Cut.AFTER, Cut.LATE):
                    server.recv(65536)  # the answer, so that it has arrived
        cut(client)
        cut(server)

    def _pump_answers(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        cut(client)
        cut(server)


def cut(one: socket.socket) -> None:
    """End a connection both ways at once."""
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
