"""What must hold at the end of a soak, as one sees it who looks at Nova, the journal, the records and the plugin's witness."""

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from examples.records import Record
from journal.events import DELETED_STATUSES, OperationKind, OperationOutcome, VerdictName
from journal.journal import Journal
from journal.verify import verify_stream
from projections.fold import History, fold
from rollback import Handler, OpenStackCloud, recover, rollback_cluster
from rollback.plan import plan

ENDS = ("Active", "Error", "Deleted")
MOST_ROUNDS = 10
WORTH_KEEPING = ("configuring", "configured", "starting", "started", "decommissioning")
"""States in which a server may hold data."""


def settle(journal: Journal, cloud: OpenStackCloud, folder: Path) -> None:
    """Recover until nothing is left; then look once more at each cluster for servers that landed late."""
    handler = Handler(journal, cloud, partial(Record, folder))
    for _ in range(MOST_ROUNDS):
        if not list(recover(handler)) and not list(journal.store.heads(unsettled=True)):
            break
        journal.clock.sleep(1)
    for head in list(journal.store.heads()):
        rollback_cluster(journal, cloud, head.stream, wait=True)


def breaches(journal: Journal, cloud: OpenStackCloud, folder: Path) -> Iterator[str]:
    """Yield what does not hold."""
    histories = {head.stream: fold(journal.stream(head.stream).events) for head in journal.store.heads()}
    accounted: set[str | None] = set()
    for history in histories.values():
        yield from _ended(history, folder)
        made = plan(history)
        accounted |= {v.id for v in made.verdicts if v.verdict in (VerdictName.IN_SERVICE, VerdictName.UNSAFE)}
    there = {server.id for server in cloud.list_journal(journal.id) if server.status not in DELETED_STATUSES}
    yield from (f"server {server_id} leaked" for server_id in there - accounted)
    yield from (f"server {server_id} is accounted for, and gone" for server_id in accounted - there)
    witnessed = dict(line.split() for line in _lines(folder / "witness"))
    for history in histories.values():
        yield from _lost(history, witnessed, there)
    for head in journal.store.heads():
        for problem in verify_stream(journal.store, head):
            if problem is not None:
                yield f"verify: {problem}"
    yield from (f"step {step.step} of {step.stream} is unfinished" for step in journal.store.unfinished_steps())


def _ended(history: History, folder: Path) -> Iterator[str]:
    """Yield what is in between: an operation that has not ended, a record that says something else than the journal."""
    status = str(plan(history).cluster_status)
    if history.unfinished is not None:
        yield f"cluster {history.stream}: its {history.unfinished.kind} operation has not ended"
    if status not in ENDS:
        yield f"cluster {history.stream} is {status}"
    with suppress(FileNotFoundError):
        told = json.loads((folder / f"{history.stream}.json").read_text())["status"]
        if told != status:
            yield f"cluster {history.stream} is {status}, and its record says {told}"


def _lost(history: History, witnessed: dict[str, str], there: set[str]) -> Iterator[str]:
    """Yield the servers that may have held data and are gone, although nobody asked for it."""
    if history.deleted is not None:
        return
    for server in history.resources.values():
        create = server.named_by
        of_failed_create = (
            create is not None
            and create.operation.kind is OperationKind.CREATE
            and create.operation.outcome is not OperationOutcome.SUCCEEDED
        )
        if server.id not in there and not of_failed_create and witnessed.get(server.id) in WORTH_KEEPING:
            yield f"server {server.id} of {history.stream} was {witnessed[server.id]}, and was deleted"


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
