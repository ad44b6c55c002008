"""Finding what dead conductors left, and bringing it to an end: many clusters at once, from any machine, as often as needed."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final, Self

import attrs

from journal.errors import DamagedStream, Fenced, OwnerAlive
from journal.events import ClusterStatus, PlanAction
from journal.steps import reason_of
from journal.telemetry import fields
from journal.threads import as_they_end
from projections.fold import History, fold
from rollback.choice import Choice, Most
from rollback.closing import is_left_open
from rollback.compensator import Preview, Report
from rollback.errors import ChoiceRefused
from rollback.handler import Handler
from rollback.plan import Plan, plan

AT_ONCE: Final = 8
"""How many clusters are recovered at the same time, unless the caller says otherwise."""
LOG: Final = logging.getLogger(__name__)


@attrs.frozen
class Recovery:
    """What the recovery of one cluster came to, or would come to."""

    cluster: str
    status: ClusterStatus
    deleted: int
    """How many resources were deleted, or would be."""
    kept: int
    """How many resources were kept for a person to decide, or would be."""
    problems: tuple[str, ...]
    """Why something is left to do."""
    complete: bool
    """Whether nothing is left to do."""
    is_refused: bool = False
    """Whether a person stands against what is left to do: a hold, or more deletions than are allowed."""
    preview: Preview | None = None
    """What it would do, where nothing was done yet."""

    @classmethod
    def of_report(cls, report: Report) -> Self:
        """Return what a compensation came to."""
        return cls(
            report.cluster,
            report.cluster_status,
            deleted=len(report.deleted),
            kept=len(report.kept),
            problems=report.problems,
            complete=report.complete,
            is_refused=report.is_refused,
        )

    @classmethod
    def of_preview(cls, foreseen: Preview) -> Self:
        """Return what would be done."""
        recovery = cls.of_plan(foreseen.plan)
        problems = (*recovery.problems, *filter(None, (foreseen.refusal,)))
        return attrs.evolve(recovery, problems=problems, is_refused=foreseen.refusal is not None, preview=foreseen)

    @classmethod
    def of_plan(cls, made: Plan) -> Self:
        """Return what would be done by a plan."""
        doubts = tuple(f"{verdict.name} is in doubt" for verdict in made.having(PlanAction.FIND))
        return cls(
            made.stream,
            made.cluster_status,
            deleted=len(made.having(PlanAction.DELETE)),
            kept=len(made.kept),
            problems=doubts,
            complete=made.is_settled,
        )


def recover(
    handler: Handler, *, at_once: int = AT_ONCE, most: Most | None = None, choices: Mapping[str, Choice] | None = None
) -> Iterator[Recovery]:
    """Compensate every cluster that has something unfinished and no living owner; yield what came of each as it ends.

    A record that was not told how the last operation of its cluster ended is told now. Clusters that another conductor
    is at work on are left to it, and those of another cloud to whoever recovers that one, so this is safe to run on
    every conductor at once. One cluster that cannot be recovered does not stop the others. `most`: how many resources may be
    deleted in one cluster, as `Choice` says; `choices`: what a person chose, by cluster: nothing else is deleted then.

    Raises StoreUnavailable where the journal cannot be read.
    """
    return _each(handler, at_once, partial(_recover_one, most=most, choices=choices))


def foresee(handler: Handler, *, at_once: int = AT_ONCE, most: Most | None = None) -> Iterator[Recovery]:
    """Yield what `recover` would do. The cloud is listed; nothing is changed, appended or told."""
    return _each(handler, at_once, partial(_foresee_one, most=most))


def _each(handler: Handler, at_once: int, treat: Callable[[Handler, History], Recovery | None]) -> Iterator[Recovery]:
    """Treat each cluster that may have something left to do, many at once."""
    damaged: list[DamagedStream] = []
    heads = [head for head in handler.journal.store.heads(unsettled=True, damaged=damaged) if not head.owner_alive]
    yield from (_failed(damage.stream, str(damage)) for damage in damaged)
    calls = (partial(_treated, handler, head.stream, treat) for head in heads)
    yield from (done for done in as_they_end(handler.journal.threads, calls, at_once) if done is not None)


def _treated(handler: Handler, cluster: str, treat: Callable[[Handler, History], Recovery | None]) -> Recovery | None:
    told = attrs.evolve(handler, progress=partial(_prefixed, handler, cluster))
    try:
        history = fold(handler.journal.stream(cluster).events)
        if history.cloud not in (None, handler.cloud.name):
            return None
        return treat(told, history)
    except (Fenced, OwnerAlive):
        return None  # another conductor is at work on it
    except ChoiceRefused as refusal:
        return _failed(cluster, str(refusal), is_refused=True)
    except Exception as error:
        LOG.exception("cluster %s: it could not be recovered", cluster, extra=fields(cluster))
        return _failed(cluster, reason_of(error))


def _failed(cluster: str, problem: str, *, is_refused: bool = False) -> Recovery:
    problems = (problem,)
    return Recovery(cluster, ClusterStatus.ERROR, deleted=0, kept=0, problems=problems, complete=False, is_refused=is_refused)


def _recover_one(
    handler: Handler, history: History, *, most: Most | None, choices: Mapping[str, Choice] | None
) -> Recovery | None:
    if is_left_open(history):
        unseen = Choice(most, confirmed=())
        choice = Choice(most) if choices is None else choices.get(history.stream, unseen)
        report = handler.compensate(history.stream, choice=choice)
        recovery = Recovery.of_report(report)
        is_over = report.complete and not report.waits
        return _untold(recovery) if is_over and _waits_to_be_told(handler, history.stream) else recovery
    last, now = history.last_end, plan(history)
    handler.tell(history.stream, now.cluster_status, "" if last is None else last.reason, version=history.version, settled=True)
    return _untold(Recovery.of_plan(now)) if _waits_to_be_told(handler, history.stream) else None


def _waits_to_be_told(handler: Handler, cluster: str) -> bool:
    """Whether the record of a cluster could not be told what became of it."""
    head = handler.journal.store.head(cluster)
    return handler.records is not None and head is not None and not head.is_settled and not head.owner_alive


def _untold(recovery: Recovery) -> Recovery:
    return attrs.evolve(recovery, problems=(*recovery.problems, "its record could not be told"), complete=False)


def _foresee_one(handler: Handler, history: History, *, most: Most | None) -> Recovery | None:
    if not is_left_open(history):
        return None
    return Recovery.of_preview(handler.preview(history.stream, choice=Choice(most)))


def _prefixed(handler: Handler, cluster: str, message: str) -> None:
    handler.progress(f"{cluster}: {message}")
