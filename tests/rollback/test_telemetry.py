"""What can be watched from outside: fields of log records, spans, metrics; nothing of it is loaded unless it is used."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest

from journal.events import OperationKind
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.metrics import JournalMetrics
from journal.steps import Step
from journal.telemetry import Count, counts
from rollback import Handler, NoRecord
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud

SPANS = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def tracing() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(SPANS))
    trace.set_tracer_provider(provider)


@pytest.fixture(autouse=True)
def no_spans() -> Iterator[None]:
    SPANS.clear()
    yield
    SPANS.clear()


class World:
    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.cloud = SimulatedCloud(self.clock)
        self.journal = Journal(MemoryStore(self.clock.now), conductor="a", clock=self.clock)
        self.handler = Handler(self.journal, self.cloud, NoRecord)

    def create(self, step: Step) -> None:
        step.created(self.cloud.create_server(step))

    def fail_to_create(self) -> Any:
        with self.handler.operation("c-1", OperationKind.CREATE) as op:
            op.run_all([op.create_server("worker", name) for name in ("w0", "w1")], self.create, at_once=2)
            with op.configure():
                raise RuntimeError("the plugin failed")
        return op


@pytest.fixture
def world() -> World:
    return World()


def metrics(world: World) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(JournalMetrics(world.journal))
    lines = (line.split() for line in generate_latest(registry).decode().splitlines() if not line.startswith("#"))
    return {name.removeprefix("provjournal_"): float(value) for name, value in lines}


def test_log_records_say_in_fields_what_they_are_about(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        op = world.fail_to_create()
    told = [(record.levelname, record.getMessage(), vars(record)) for record in caplog.records]
    steps = [(message, field) for level, message, field in told if "step" in field]
    assert sorted(message for message, _ in steps) == [
        "cluster c-1: configure the whole cluster failed",
        "cluster c-1: create_server w0 succeeded",
        "cluster c-1: create_server w1 succeeded",
    ]
    ((failed, about),) = [(message, field) for level, message, field in told if level == "ERROR"]
    assert failed == "cluster c-1: create operation failed"
    assert all((field["cluster"], field["operation"]) == ("c-1", str(op.id)) for field in (about, *(f for _, f in steps)))
    assert len({field["step"] for _, field in steps}) == 3


def test_operations_steps_and_compensations_are_spans(world: World) -> None:
    op = world.fail_to_create()
    spans = SPANS.get_finished_spans()
    assert [span.name for span in spans] == ["create_server", "create_server", "configure", "create", "compensate"]
    create = next(span for span in spans if span.name == "create")
    for span in spans[:3]:
        assert span.parent is not None
        assert span.parent.span_id == create.context.span_id, "steps in threads stand in their operation, too"
        assert span.attributes is not None
        assert span.attributes["provjournal.operation"] == str(op.id)
    assert [bool(span.events) for span in spans] == [False, False, True, True, False], "errors are recorded"


def test_metrics_tell_what_is_unfinished_and_what_was_done(world: World) -> None:
    before = counts()
    op = world.journal.begin("c-2", OperationKind.CREATE, world.cloud.name)
    op.create_server("worker", "w").__enter__()
    world.clock.sleep(90)
    found = metrics(world)
    assert {name: found[name] for name in ("unfinished_operations", "unfinished_steps", "oldest_unfinished_seconds")} == {
        "unfinished_operations": 1,
        "unfinished_steps": 1,
        "oldest_unfinished_seconds": 90,
    }
    world.fail_to_create()
    found = metrics(world)
    assert found["compensations_total"] == before[Count.COMPENSATIONS] + 1
    assert found["deletions_total"] == before[Count.DELETIONS] + 2


def test_appends_that_were_fenced_are_counted_once_each(world: World) -> None:
    before = counts()[Count.FENCED_APPENDS]
    op = world.journal.begin("c-1", OperationKind.CREATE, world.cloud.name)
    Journal(world.journal.store, conductor="api", clock=world.clock).request_deletion("c-1", by="user")
    for _ in range(3):
        with pytest.raises(Exception, match="Stop working"):
            op.record_error("x")
    assert counts()[Count.FENCED_APPENDS] == before + 3


@pytest.mark.parametrize("module", ["opentelemetry", "prometheus_client"])
def test_nothing_of_it_is_needed(module: str) -> None:
    program = f"""
import sys
sys.modules[{module!r}] = None
from journal import Journal
from journal.memory import MemoryStore
from journal.events import OperationKind
op = Journal(MemoryStore()).begin("c-1", OperationKind.CREATE, "RegionOne/1")
op.create_server("worker", "w").run(lambda step: step.created("id"))
op.succeed()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_importing_the_library_loads_nothing_of_it() -> None:
    program = (
        "import sys, rollback.handler, journal.metrics; print([m for m in sys.modules if m.startswith(('opentel', 'prom'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
