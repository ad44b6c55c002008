"""What can be watched from outside: spans of operations and steps, and counts. It decides nothing.

Spans are OpenTelemetry's, once `opentelemetry-api` is installed and the service has set a tracer up; nothing of it is
needed, or loaded, otherwise. Log records carry `cluster`, `operation` and `step` as fields.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from functools import cache
from typing import Any, Final
from uuid import UUID


class Count(StrEnum):
    """What is counted, since this process began."""

    COMPENSATIONS = "compensations"
    DELETIONS = "deletions"
    FENCED_APPENDS = "fenced_appends"


_COUNTS: Final[Counter[Count]] = Counter()
_LOCK: Final = threading.Lock()


def count(what: Count, number: int = 1) -> None:
    """Count something that happened."""
    with _LOCK:
        _COUNTS[what] += number


def counts() -> Mapping[Count, int]:
    """Return how often each thing has happened."""
    with _LOCK:
        return {what: _COUNTS[what] for what in Count}


def fields(cluster: str, operation: UUID | None = None, step: UUID | None = None) -> dict[str, str]:
    """Return the fields of a log record or the attributes of a span: what it is about."""
    about = {"cluster": cluster, "operation": operation, "step": step}
    return {name: str(value) for name, value in about.items() if value is not None}


@contextmanager
def span(name: str, about: Mapping[str, str]) -> Iterator[None]:
    """Have the block be a span, if somebody traces; an error that leaves the block is recorded in it."""
    with _started(name, {f"provjournal.{field}": value for field, value in about.items()}):
        yield


def _started(name: str, attributes: Mapping[str, str]) -> AbstractContextManager[Any]:
    tracer = _tracer()
    return nullcontext() if tracer is None else tracer.start_as_current_span(name, attributes=attributes)


@cache
def _tracer() -> Any:
    try:
        from opentelemetry import trace  # noqa: PLC0415 (optional, and loaded only by those who run operations)
    except ModuleNotFoundError:
        return None
    return trace.get_tracer("provjournal")
