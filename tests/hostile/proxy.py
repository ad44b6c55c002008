"""A forward proxy for HTTP on loopback that does to one chosen request what networks and clouds do to requests."""

import http.client
import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}")
LISTING = re.compile(r"^/v2\.1/servers/detail\b")
ANY_LISTING = re.compile(r"/(servers/detail|os-server-groups|os-keypairs|ports|floatingips|security-groups|volumes/detail)(\?|$)")
ANSWERED = (400, 403, 404, 409, 413, 429, 500, 502, 503, 504)
"""The codes that are answered in place of Nova."""
ACTED = (500, 502, 503, 504)
"""The codes that are answered although Nova acted."""


class Kind(Enum):
    """What happens to a request."""

    DROPPED = "dropped before it is sent"
    UNANSWERED = "its answer is dropped"
    DELAYED = "delayed until the client has given up"
    TRUNCATED = "its answer is truncated"
    REPEATED = "sent twice"
    SHORTENED = "its listing lacks a row"
    HIDDEN = "its servers are in a cell that is down"
    UNFILTERED = "its filter is dropped"
    EXPIRED = "its token has expired"
    ANSWERED = "answered in Nova's place"
    ACTED = "answered wrongly although Nova acted"


@attrs.frozen
class Fault:
    """What happens to one request."""

    kind: Kind
    code: int = 0

    def __str__(self) -> str:
        return f"{self.kind.value}{f': HTTP {self.code}' if self.code else ''}"

    def suits(self, call: str) -> bool:
        """Whether it can happen to a call."""
        match self.kind:
            case Kind.REPEATED:
                return call.startswith(("POST", "DELETE"))
            case Kind.SHORTENED:
                return call.startswith("GET") and ANY_LISTING.search(call) is not None
            case Kind.HIDDEN:
                return "/servers/detail" in call
            case Kind.UNFILTERED:
                return "tags=" in call
            case _:
                return True


FAULTS = (
    *(Fault(kind) for kind in Kind if kind not in (Kind.ANSWERED, Kind.ACTED)),
    *(Fault(Kind.ANSWERED, code) for code in ANSWERED),
    *(Fault(Kind.ACTED, code) for code in ACTED),
)


@attrs.frozen
class _Answer:
    code: int
    headers: list[tuple[str, str]]
    body: bytes


class HostileProxy:
    """A proxy on a free port, in front of the services on some other ports.

    `at` is the number of the request to them, counted from 0, that `fault` happens to; or a text, for all that contain it.
    """

    def __init__(self, *ports: int, fault: Fault | None = None, at: int | str = -1, patience: float = 0) -> None:
        self.calls: list[str] = []
        """The requests to those services so far: method and path, without ids and numbers."""
        self.fault = fault
        self.at = at
        self.patience = patience
        """How long the client waits for an answer, in seconds."""
        self.ports = frozenset(ports)
        self.page = 0
        """How many servers a page of a listing holds; 0 for as many as Nova likes."""
        self.counts = False
        """Whether requests count: set it once everything is prepared."""
        self.answers: Counter[int] = Counter()
        """How often each HTTP code was the answer to a request that counts."""
        self.watch: Callable[[str], object] = lambda _: None
        """Is told each request that counts, with its ids, before it is passed on."""
        self.skew_seconds = 0.0
        """How far ahead the clock is that the `Date` of answers is read from."""
        self._lock = threading.Lock()
        self._late: list[threading.Thread] = []
        self._server = _Server(("127.0.0.1", 0), type("Relay", (_Relay,), {"proxy": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.await_late()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def await_late(self) -> None:
        """Wait until what was delayed has arrived."""
        for thread in self._late:
            thread.join()

    def decide(self, request: str) -> Fault | None:
        """Note a request that counts, and return what happens to it."""
        with self._lock:
            self.calls.append(UUID.sub("ID", request))
            is_due = self.at in request if isinstance(self.at, str) else self.at == len(self.calls) - 1
        self.watch(request)
        return self.fault if is_due else None

    def note(self, code: int) -> None:
        """Note what was answered to a request that counts."""
        with self._lock:
            self.answers[code] += 1

    def later(self, action: Callable[[], object]) -> None:
        """Do something once the client has given up."""

        def run() -> None:
            time.sleep(self.patience + 0.2)
            action()

        thread = threading.Thread(target=run, daemon=True)
        self._late.append(thread)
        thread.start()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has gone: it may have given up. What else goes wrong is told."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Relay(BaseHTTPRequestHandler):
    proxy: HostileProxy
    is_counted = False
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class names it)
        """Say nothing."""

    def do_GET(self) -> None:
        self._relay()

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 (http.server names them)

    def _relay(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = f"{url.path}?{url.query}" if url.query else url.path
        if self.proxy.page and LISTING.match(target):
            target += f"{'&' if url.query else '?'}limit={self.proxy.page}"
        self.is_counted = self.proxy.counts and url.port in self.proxy.ports
        fault = self.proxy.decide(f"{self.command} {target}") if self.is_counted else None
        if fault is not None and fault.kind is Kind.UNFILTERED:
            target = _without_filter(target)

        def send() -> _Answer:
            headers = {key: said for key, said in self.headers.items() if key.lower() not in ("proxy-connection", "connection")}
            connection = http.client.HTTPConnection("127.0.0.1", url.port, timeout=120)
            connection.request(self.command, target, body, headers)
            answer = connection.getresponse()
            found = _Answer(answer.status, answer.getheaders(), answer.read())
            connection.close()
            return found

        if fault is None:
            self._answer(send())
        else:
            self._suffer(fault, send)

    def _suffer(self, fault: Fault, send: Callable[[], _Answer]) -> None:  # noqa: C901 (one arm for each fault)
        match fault.kind:
            case Kind.DROPPED:
                self.close_connection = True
            case Kind.UNANSWERED:
                send()
                self.close_connection = True
            case Kind.DELAYED:
                self.proxy.later(send)
                time.sleep(self.proxy.patience + 0.1)
                self.close_connection = True
            case Kind.TRUNCATED:
                self._answer(send(), cut=True)
            case Kind.REPEATED:
                answer = send()
                send()
                self._answer(answer)
            case Kind.SHORTENED:
                self._answer(_rewritten(send(), lambda rows: rows[1:]))
            case Kind.HIDDEN:
                self._answer(_rewritten(send(), _in_a_cell_that_is_down if "?" not in self.path else lambda _: []))
            case Kind.UNFILTERED:
                self._answer(send())
            case Kind.EXPIRED:
                self._answer(_said(401))
            case Kind.ANSWERED:
                self._answer(_said(fault.code))
            case Kind.ACTED:
                send()
                self._answer(_said(fault.code))

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the time by a clock that may be off."""
        return super().date_time_string((time.time() if timestamp is None else timestamp) + self.proxy.skew_seconds)

    def _answer(self, answer: _Answer, *, cut: bool = False) -> None:
        if self.is_counted:
            self.proxy.note(answer.code)
        self.send_response(answer.code)
        for key, said in answer.headers:
            if key.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                self.send_header(key, said)
        if answer.code != http.client.NO_CONTENT:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) // 2] if cut else answer.body)
        self.close_connection = self.close_connection or cut


def _without_filter(target: str) -> str:
    """Return the target of a listing as Nova takes it that drops a filter silently."""
    url = urlsplit(target)
    kept = [(key, said) for key, said in parse_qsl(url.query) if key in ("limit", "marker")]
    return url._replace(query=urlencode(kept)).geturl()


def _said(code: int) -> _Answer:
    more = [("Retry-After", "1")] if code in (413, 429) else []
    body = json.dumps({"error": {"code": code, "message": "said by the hostile proxy"}}).encode()
    return _Answer(code, [("Content-Type", "application/json"), *more], body)


def _rewritten(answer: _Answer, change: Callable[[list[Any]], list[Any]]) -> _Answer:
    """Return a listing with other rows."""
    document = json.loads(answer.body)
    (rows,) = (name for name, said in document.items() if isinstance(said, list) and not name.endswith("_links"))
    document[rows] = change(document[rows])
    return attrs.evolve(answer, body=json.dumps(document).encode())


def _in_a_cell_that_is_down(rows: list[Any]) -> list[Any]:
    """Return rows as Nova shows servers of a cell that is down, in a listing of everything."""
    shown = ("id", "links", "tenant_id", "created")
    return [{"status": "UNKNOWN", **{key: row[key] for key in shown if key in row}} for row in rows]


def suitable(calls: list[str]) -> Iterator[tuple[int, str, Fault]]:
    """Yield every fault at every call that it can happen to: the call's number, the call, the fault."""
    for at, call in enumerate(calls):
        yield from ((at, call, fault) for fault in FAULTS if fault.suits(call))
