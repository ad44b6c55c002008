"""Adopting servers that existed before their journal: they are marked in the cloud first, then the journal is told.

The same marks a server again whose marks were removed or changed. Killed at any point, it can be done again.
"""

from collections.abc import Sequence
from enum import Enum

import attrs

from journal.events import AdoptedServer
from journal.journal import Journal
from journal.stream import Stream
from projections.fold import History, fold
from rollback.cloud import Cloud, Found
from rollback.deletable import expected_marks
from rollback.errors import NotAdoptable
from rollback.marks import Agreement, Marks, agreement
from rollback.observe import check_cloud
from rollback.progress import Progress


class Outcome(Enum):
    """What an adoption came to, or would come to, for one server."""

    ADOPTED = "adopted"
    MARKED_AGAIN = "marked again"
    UNCHANGED = "unchanged"


@attrs.frozen
class Candidate:
    """A server that is to be adopted, as the cloud showed it, and what is to be done for it."""

    found: Found
    marks: Marks
    """The marks that it gets, or has."""
    is_known: bool
    """Whether the cluster's journal knows it already."""

    @property
    def is_marked(self) -> bool:
        """Whether it has all its marks already."""
        return self.found.marks is not None and agreement(self.found.marks, self.marks) is Agreement.BOTH

    @property
    def outcome(self) -> Outcome:
        """What the adoption comes to for it."""
        if not self.is_known:
            return Outcome.ADOPTED
        return Outcome.UNCHANGED if self.is_marked else Outcome.MARKED_AGAIN


@attrs.frozen
class Adoption:
    """Servers that a cluster is about to take in; every one of them was looked at."""

    cluster: str
    candidates: tuple[Candidate, ...]
    node_group: str = ""

    @property
    def new(self) -> tuple[AdoptedServer, ...]:
        """The servers that the journal does not know yet."""
        new = (candidate.found for candidate in self.candidates if not candidate.is_known)
        return tuple(AdoptedServer(found.id, found.name or "", self.node_group) for found in new)


def adoptable(
    journal: Journal,
    cloud: Cloud,
    cluster: str,
    server_ids: Sequence[str],
    *,
    node_group: str = "",
    replace_marks: bool = False,
) -> Adoption:
    """Look at servers that a cluster is to take in, which need not exist yet. Changes nothing; `adopt` does.

    `replace_marks`: also where a server's marks say that it is another's. Raises NotAdoptable, WrongCloud,
    UnsuitableCloud or CloudError.
    """
    history = fold(Stream.load(journal.store, cluster, journal.clock).events)
    head = journal.store.head(cluster)
    check_cloud(cloud, history, journal.clock.now() if head is None else head.read_at, journal.clock.now())
    candidates = (_candidate(journal, cloud, cluster, history, id_) for id_ in dict.fromkeys(server_ids))
    adoption = Adoption(cluster, tuple(candidates), node_group)
    if not replace_marks:
        for candidate in adoption.candidates:
            _refuse_anothers(cluster, candidate)
    if adoption.new:
        _refuse_unfit(history, cluster)
    return adoption


def adopt(
    journal: Journal, cloud: Cloud, adoption: Adoption, *, by: str, reason: str = "", progress: Progress = lambda _: None
) -> None:
    """Mark the servers in the cloud, then tell the journal.

    Raises CloudError, and OutOfOrder if an operation of the cluster began meanwhile. Then look, and do it again.
    """
    for candidate in adoption.candidates:
        if not candidate.is_marked:
            progress(f"marking {candidate.found.id}")
            cloud.mark(candidate.found.id, candidate.marks)
    if adoption.new:
        journal.adopt(adoption.cluster, adoption.new, cloud.name, by=by, reason=reason)


def _candidate(journal: Journal, cloud: Cloud, cluster: str, history: History, server_id: str) -> Candidate:
    found = cloud.get(server_id)
    if found is None:
        raise NotAdoptable(cluster, server_id, f"there is no such server in {cloud.name}")
    if found.marks is None:
        raise NotAdoptable(cluster, server_id, "its cell is down, so its marks cannot be read")
    known = history.resources.get(server_id)
    if known is not None and (known.adopted is not None or known.named_by is not None):
        return Candidate(found, expected_marks(history, journal.id, known), is_known=True)
    if found.marks.step_id in history.creates:
        raise NotAdoptable(cluster, server_id, f"it carries the mark of create {found.marks.step_id} of this very cluster")
    return Candidate(found, Marks(journal.id, cluster, None), is_known=False)


def _refuse_anothers(cluster: str, candidate: Candidate) -> None:
    marks, wanted = candidate.found.marks, candidate.marks
    assert marks is not None, "its cell is up"
    claimed = marks.cluster not in (None, cluster) or marks.step_id not in (None, wanted.step)
    if claimed or agreement(marks, wanted) is Agreement.CONTRADICTION:
        said = f"cluster {marks.cluster!r} of journal {marks.journal}, step {marks.step_id}"
        why = f"its marks say that it is another's: {said}. To replace them: --replace-marks"
        raise NotAdoptable(cluster, candidate.found.id, why)


def _refuse_unfit(history: History, cluster: str) -> None:
    """Raise NotAdoptable where the journal would not take an adoption, before anything is marked."""
    if history.unfinished is not None:
        raise NotAdoptable(cluster, None, f"its {history.unfinished.kind} operation is unfinished")
    if history.deleted is not None:
        raise NotAdoptable(cluster, None, "it is Deleted")
