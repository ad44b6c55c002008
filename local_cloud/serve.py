"""Listening: ports on loopback that nobody can take away between the choice and the start of a service."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from cheroot import wsgi

HOST = "127.0.0.1"
BACKLOG = 256
IDLE_TIMEOUT = 120
PATIENCE = 3.0
"""Seconds to wait for a port of the last run: its children need a moment to see that their parent was killed."""

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""A WSGI application."""


def url(port: int) -> str:
    """Return the address of a service."""
    return f"http://{HOST}:{port}"


def bind(port: int = 0) -> socket.socket:
    """Bind a port, or with 0 one that the system chooses; nobody listens yet, so clients are still refused."""
    bound = socket.socket()
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    return bound


def bind_all(ports: Mapping[str, int]) -> dict[str, socket.socket] | None:
    """Bind the ports of an earlier run, or none of them if another program has one now."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.ExitStack() as stack:
            try:
                sockets = {name: stack.enter_context(bind(port)) for name, port in ports.items()}
            except OSError:
                if time.monotonic() > deadline:
                    return None
            else:
                stack.pop_all()
                return sockets
        time.sleep(0.1)


class BoundServer(wsgi.Server):
    """A cheroot server on a socket that is bound already."""

    def __init__(self, bound: socket.socket, application: Application, threads: int) -> None:
        """Take over the socket."""
        super().__init__(bound.getsockname(), application, numthreads=threads, request_queue_size=BACKLOG, timeout=IDLE_TIMEOUT)
        self.bound = bound

    def bind(self, family: int, kind: int, proto: int = 0) -> socket.socket:  # cheroot's signature
        """Use the socket at hand where cheroot would make one."""
        self.socket = self.bound
        return self.socket


def serve(application: Application, bound: socket.socket, threads: int) -> None:
    """Answer requests from threads of this process."""
    server = BoundServer(bound, application, threads)
    server.prepare()
    threading.Thread(target=server.serve, daemon=True, name="serve").start()


def stay(application: Application, descriptor: int, threads: int) -> NoReturn:
    """Answer requests on an inherited socket for the rest of this process."""
    serve(application, socket.socket(fileno=descriptor), threads)
    while True:
        time.sleep(3600)
