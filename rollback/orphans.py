"""Sweeping: everything in a cloud that carries this journal's marks is accounted for, deleted, or reported.

It catches what nothing else looks for: a request that landed after its cluster was compensated, a second server of a
request that was sent twice, a server of a cluster that the journal does not know; and the same of what servers bring
along, except for what has no mark that says which cluster it belongs to.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Final, Self

import attrs

from journal.errors import Fenced, JournalError, OwnerAlive
from journal.events import InventoryObserved, PlanAction, ResourceKind, VerdictName
from journal.steps import reason_of
from journal.store import Head
from journal.threads import as_they_end
from projections.fold import History, fold
from projections.verdicts import Verdict
from rollback.choice import Choice, Most
from rollback.cloud import Cloud, Found
from rollback.compensator import Report
from rollback.errors import CloudError
from rollback.handler import Handler
from rollback.observe import UNKNOWN, check_clocks, rows_of
from rollback.plan import plan
from rollback.progress import Counted
from rollback.recovery import AT_ONCE

ACCOUNTED_FOR: Final = frozenset({VerdictName.IN_SERVICE})
"""The verdicts of what is as it should be."""


@attrs.frozen
class Orphan:
    """Something that carries this journal's marks, and that no live operation or cluster accounts for."""

    kind: ResourceKind
    id: str
    name: str
    cluster: str
    """What its marks say; empty if they do not say it."""
    because: str
    """Why it is reported."""
    verdict: Verdict | None = None
    """What its cluster's journal says of it; None where that cannot be judged. Nothing of it is deleted then."""

    @property
    def is_deletable(self) -> bool:
        """Whether its verdict is to delete it."""
        return self.verdict is not None and self.verdict.action is PlanAction.DELETE


@attrs.frozen
class Sweep:
    """What one sweep found. Nothing was changed by it."""

    orphans: tuple[Orphan, ...]
    marked: int
    """How many servers and other resources carry this journal's marks."""
    unreadable: int
    """How many servers are in cells that are down, so that their marks cannot be read."""
    hides_down_cells: bool = False
    """Whether there may be more of those: the listing had several pages, and shows them only on the first."""
    unlisted: tuple[ResourceKind, ...] = ()
    """The kinds that could not be listed, beside servers: nothing is said of them."""

    @property
    def deletable(self) -> tuple[str, ...]:
        """The clusters that have orphans to delete."""
        return tuple(sorted({orphan.cluster for orphan in self.orphans if orphan.is_deletable}))


@attrs.frozen
class Swept:
    """What the deletion of one cluster's orphans came to."""

    cluster: str
    report: Report | None
    problem: str = ""
    """Why there is no report."""


def sweep(handler: Handler, *, at_once: int = AT_ONCE) -> Sweep:
    """List everything that carries this journal's marks, twice, and judge each by the journal of its cluster.

    An orphan was seen both times, `settle_seconds` apart. Appends nothing and deletes nothing; `delete_orphans` does.
    Of keypairs it sees those of the user who asks, and no others.
    Raises UnsuitableCloud, CloudError if the servers cannot be listed, or StoreUnavailable.
    """
    journal, cloud = handler.journal, handler.cloud
    versions: dict[str, int] = {}
    kinds, silent = [kind for kind in ResourceKind if kind in cloud.kinds], list[ResourceKind]()
    for head in journal.store.heads(damaged=[]):  # what a damaged cluster has is reported when it is judged
        if not versions:
            check_clocks(cloud, head.read_at, journal.clock.now(), kinds, silent)
        versions[head.stream] = head.version
    began_at = journal.clock.now()
    before = _Listed.of(cloud, silent)
    handler.progress(f"listed the cloud; listing again in {journal.settings.settle_seconds:g} s: orphans are those seen twice")
    journal.clock.sleep(journal.settings.settle_seconds)
    listed = _Listed.of(cloud, silent)
    marked = [each for each in listed.found if each.marks is not None and each.marks.says_journal(journal.id)]
    seen = {(each.kind, each.id) for each in before.found}
    clusters: defaultdict[str, list[Found]] = defaultdict(list)
    for each in marked:
        if (each.kind, each.id) in seen:
            assert each.marks is not None
            clusters[each.marks.cluster or ""].append(each)
    looked = [_Look(cluster, versions.get(cluster), began_at, tuple(found)) for cluster, found in sorted(clusters.items())]
    unreadable = sum(each.status == UNKNOWN and each.marks is None for each in listed.found)
    missing = [kind for kind in ResourceKind if kind not in (*cloud.kinds, ResourceKind.SERVER) and _was_had(handler, kind)]
    unlisted = tuple(dict.fromkeys((*before.unlisted, *listed.unlisted, *missing)))
    orphans = tuple(_judged(handler, looked, at_once))
    return Sweep(orphans, len(marked), unreadable, listed.hides_down_cells, unlisted)


@attrs.frozen
class _Listed:
    """Everything that a cloud showed."""

    found: Sequence[Found]
    hides_down_cells: bool
    unlisted: Sequence[ResourceKind]

    @classmethod
    def of(cls, cloud: Cloud, silent: Collection[ResourceKind]) -> Self:
        """List all kinds but those that are silent."""
        servers = cloud.list_all()
        found, unlisted = list(servers), list(silent)
        for kind in sorted(cloud.kinds.difference(silent), key=list(ResourceKind).index):
            try:
                found += cloud.list_kind(kind)
            except CloudError:
                unlisted.append(kind)
        return cls(found, servers.hides_down_cells, unlisted)


def delete_orphans(
    handler: Handler, found: Sweep, *, at_once: int = AT_ONCE, most: Most | None = None, only_these: bool = False
) -> Iterator[Swept]:
    """Delete the orphans that a sweep found, in an operation of kind sweep for each cluster; yield what came of each.

    Each cluster is looked at again: what its plan says then is what is done; `only_these`: nothing is deleted but what the
    sweep found. `most`: as in `Choice`.
    """

    def choice(cluster: str) -> Choice:
        ids = [orphan.id for orphan in found.orphans if orphan.cluster == cluster and orphan.is_deletable]
        return Choice(most, confirmed=ids if only_these else None)

    calls = (partial(_deleted, handler, cluster, choice(cluster)) for cluster in found.deletable)
    yield from as_they_end(handler.journal.threads, calls, at_once)


def _was_had(handler: Handler, kind: ResourceKind) -> bool:
    """Whether a cluster of this cloud ever had, or tried to have, a kind that the cloud has no service for (any more)."""
    return any(_had(handler, cluster, kind) for cluster in handler.journal.store.mentioning(f"create_{kind}"))


def _had(handler: Handler, cluster: str, kind: ResourceKind) -> bool:
    try:
        history = fold(handler.journal.stream(cluster).events)
    except JournalError:
        return True  # nobody can tell
    return history.cloud == handler.cloud.name and any(step.creates is kind for step in history.creates.values())


@attrs.frozen
class _Look:
    """What the cloud showed of one cluster, from which version of its stream on."""

    cluster: str
    version: int | None
    began_at: datetime
    found: Sequence[Found]


def _judged(handler: Handler, looked: Sequence[_Look], at_once: int) -> Iterator[Orphan]:
    with handler.journal.threads.pool(at_once) as pool:
        for number, orphans in enumerate(pool.map(lambda look: _orphans(handler, look), looked), start=1):
            yield from orphans
            handler.progress(Counted(number, len(looked), "clusters are judged"))


def _orphans(handler: Handler, look: _Look) -> list[Orphan]:
    """Return the orphans among what one cluster has."""
    try:
        return _judge(handler, look)
    except Exception as error:  # noqa: BLE001 (one damaged cluster must not hide the orphans of the others)
        return _reported(look, reason_of(error))


def _judge(handler: Handler, look: _Look) -> list[Orphan]:
    head = handler.journal.store.head(look.cluster) if look.cluster else None
    if head is None or head.archived_to is not None:
        return _reported(look, _why_unknown(look, head))
    if head.owner_alive or look.version is None:
        return []
    stream = handler.journal.stream(look.cluster)
    history = fold(stream.events)
    if history.cloud not in (None, handler.cloud.name):
        return _reported(look, f"its cluster lives in another cloud, {history.cloud}")
    servers, others = rows_of(look.found)
    seen = InventoryObserved(servers, False, look.version, look.began_at, handler.cloud.name, others)  # noqa: FBT003 (it proves no absence)
    history.apply(stream.draft(seen))
    stray = list(_stray(history, look))
    if history.unfinished is None:
        return stray
    why = f"the {history.unfinished.kind} of its cluster is unfinished: `provjournal recover` ends it"
    return [attrs.evolve(orphan, because=why, verdict=None) for orphan in stray]


def _why_unknown(look: _Look, head: Head | None) -> str:
    if not look.cluster:
        return "its marks do not say of which cluster it is"
    if head is None:
        return "the journal does not know its cluster (was an old backup restored?)"
    return f"its cluster was archived, to {head.archived_to}"


def _stray(history: History, look: _Look) -> Iterator[Orphan]:
    verdicts = {(verdict.kind, verdict.id): verdict for verdict in plan(history).verdicts}
    for each in look.found:
        verdict = verdicts[each.kind, each.id]
        if verdict.verdict not in ACCOUNTED_FOR:
            yield Orphan(each.kind, each.id, each.name or "", look.cluster, verdict.because, verdict)


def _reported(look: _Look, because: str) -> list[Orphan]:
    return [Orphan(each.kind, each.id, each.name or "", look.cluster, because) for each in look.found]


def _deleted(handler: Handler, cluster: str, choice: Choice) -> Swept:
    try:
        return Swept(cluster, handler.compensate(cluster, choice=choice))
    except (Fenced, OwnerAlive):
        return Swept(cluster, None, "another conductor is at work on it")
    except Exception as error:  # noqa: BLE001 (one cluster must not stop the others)
        return Swept(cluster, None, reason_of(error))
