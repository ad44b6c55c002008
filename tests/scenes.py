"""The scenes on which the documentation's commands are run: a journal, and a cloud that goes with it.

All begin with `examples/night.jsonl`, the journal of four clusters after a bad night: `web` is in service, `old` was
deleted long ago, the scale of `data` and the create of `shop` died. The cloud shows what those histories leave.
"""

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from journal.anonymise import Anonymiser
from journal.clock import SystemClock
from journal.codec import FIRST_HASH, encode_line
from journal.events import Completion, CreateServer, Event, OperationKind
from journal.files import read_file
from journal.journal import Journal
from journal.store import chained
from rollback.marks import Marks
from rollback.testing.cloud import SimulatedCloud, SimulatedServer

NIGHT = Path(__file__).parent.parent / "examples" / "night.jsonl"
URL = "sqlite:///journal.db"
DELETED = ("f51a4163-4df4-49e1-8508-de5f067cfdf8", "b28e080d-b1cd-40ea-adec-ca650ac942ef")
"""Servers that the histories delete: that of `old`, and the victim of `data`."""
IN_FLIGHT = "4c0ee8ab-2d47-4a3f-a3cd-0c2ab3a0f6a1"
"""The server whose create was in flight when the conductor of `shop` died."""
SECOND = "b5a9d1c4-7f1e-4a53-9a42-6a1d2f7c8e90"
UNKNOWN = "d02f3b6e-91c7-4f0d-8f5e-2b7a4c1e6d38"
BY_HAND = ("0a6c4d2f-5e81-4b7c-9d36-e1f2a3b4c5d6", "1b7d5e30-6f92-4c8d-8e47-f203b4c5d6e7")
OF_DEAD_CELL = "e9c1a7b3-4d5f-4e60-b172-839405a6b7c8"


class Scene:
    """A folder with a journal, and a cloud."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder}/journal.db"
        self.cloud = SimulatedCloud(SystemClock())  # type: ignore[arg-type] (its time is that of the journal's database)
        self.journal: Journal | None = None
        self.events = tuple(read_file(NIGHT))

    def close(self) -> None:
        """Leave the scene."""
        if self.journal is not None:
            self.journal.close()

    def fill(self, until: dict[str, int] | None = None) -> Journal:
        """Make the journal, with the events of the night; of some clusters only those `until` a version."""
        self.journal = Journal.open(self.url, upgrade=True, conductor="conductor-b")
        for stream in dict.fromkeys(event.stream for event in self.events):
            events = [event for event in self.events if event.stream == stream][: (until or {}).get(stream)]
            if not events:
                continue
            self.journal.store.append(events, previous_hash=FIRST_HASH, expected_epoch=1)
        return self.journal

    def show(self, journal: Journal, *, in_flight: bool = True) -> None:
        """Let the cloud have what the night left in it, with the marks of this journal."""
        made = {event.data.step: event for event in self.events if isinstance(event.data, CreateServer)}
        named = ((event.data.step, event.data.server_id) for event in self.events if isinstance(event.data, Completion))
        known = {step: server_id for step, server_id in named if server_id is not None}
        for step, event in made.items():
            server_id = known.get(step, IN_FLIGHT if in_flight else None)
            if server_id is not None and server_id not in DELETED:
                self.add(server_id, event, journal.id)

    def add(self, server_id: str, event: Event, journal: UUID, cluster: str | None = None) -> None:
        """Let the cloud have a server that the create of this event made."""
        assert isinstance(event.data, CreateServer)
        marks = Marks(journal, cluster or event.stream, event.data.step)
        made_at = event.recorded_at + timedelta(seconds=1)
        self.cloud.servers[server_id] = SimulatedServer(server_id, event.data.name, marks.tags, dict(marks.metadata), made_at)

    def create_of(self, name: str) -> Event:
        """Return the intent of the create of a server."""
        return next(event for event in self.events if isinstance(event.data, CreateServer) and event.data.name == name)


def empty(scene: Scene) -> dict[str, str]:
    """A folder with the examples, and no journal."""
    del scene
    return {}


def night(scene: Scene) -> dict[str, str]:
    """The journal after the night; the server whose create was in flight exists."""
    scene.show(scene.fill())
    return REACHED


def nothing_landed(scene: Scene) -> dict[str, str]:
    """The same, but the create that was in flight made nothing."""
    scene.show(scene.fill(), in_flight=False)
    return REACHED


def at_work(scene: Scene) -> dict[str, str]:
    """A conductor is at work: it scales `web`."""
    journal = scene.fill()
    scene.show(journal)
    running = journal.begin("web", OperationKind.SCALE, scene.cloud.name, request={"workers": 1})
    running.create_server("worker", "web-worker-3").__enter__()
    return REACHED


def cell_down(scene: Scene) -> dict[str, str]:
    """A cell of the cloud is down, so nothing is proved absent; the create that was in flight is not found."""
    journal = scene.fill()
    scene.show(journal, in_flight=False)
    scene.add(OF_DEAD_CELL, scene.create_of("old-worker-1"), UUID(int=0))
    scene.cloud.servers[OF_DEAD_CELL].cell_is_down = True
    return REACHED


def orphans(scene: Scene) -> dict[str, str]:
    """The request for a server of `web` was sent twice, and a server carries the marks of a cluster that nobody knows."""
    journal = scene.fill()
    scene.show(journal)
    scene.add(SECOND, scene.create_of("web-worker-2"), journal.id)
    scene.add(UNKNOWN, scene.create_of("shop-worker-1"), journal.id, cluster="test-7")
    scene.cloud.servers[UNKNOWN].name = "test-7-worker-1"
    return REACHED


def old_backup(scene: Scene) -> dict[str, str]:
    """The database is that of a backup: it knows nothing of the scale of `data`, nor of `shop`."""
    journal = scene.fill({"data": 12, "shop": 0})
    scene.show(journal)
    return REACHED


def legacy(scene: Scene) -> dict[str, str]:
    """Two servers were made by hand, and carry no marks."""
    scene.show(scene.fill())
    for number, server_id in enumerate(BY_HAND, start=1):
        made_at = scene.events[0].recorded_at
        scene.cloud.servers[server_id] = SimulatedServer(server_id, f"legacy-{number}", [], {}, made_at)
    return REACHED


def two_versions(scene: Scene) -> dict[str, str]:
    """Two incidents as tests, and the version in production, which deletes what was in service already."""
    histories = scene.folder / "tests" / "histories"
    histories.mkdir(parents=True)
    for number, stream in enumerate(("shop", "data"), start=41):
        events = [event for event in scene.events if event.stream == stream]
        given = Anonymiser.of(events)
        written = chained(FIRST_HASH, [given.anonymised(event) for event in events])
        (histories / f"incident-{number}.jsonl").write_bytes(b"".join(map(encode_line, written)))
    programs = scene.folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    edit = 's/"unsafe","action":"keep"/"new","action":"delete"/'
    asked = f'[ "$1" = --version ] && echo provjournal 0.0.9 || {Path(sys.executable).parent}/provjournal "$@" | sed \'{edit}\''
    (programs / "provjournal").write_text(f"#!/bin/sh\n{asked}\n")
    (programs / "provjournal").chmod(0o755)
    return {}


REACHED = {"PROVJOURNAL_URL": URL, "OS_CLOUD": "mycloud"}
"""The environment of who has a journal and a cloud."""
SCENES: dict[str, Callable[[Scene], dict[str, str]]] = {
    scene.__name__: scene
    for scene in (empty, night, nothing_landed, at_work, cell_down, orphans, old_backup, legacy, two_versions)
}
