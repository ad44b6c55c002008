"""Deleting: many at once, each journaled before it is asked for, and waited for by listing until it is gone."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

import attrs

from journal.events import Completion, Delete, DeleteResource, DeleteServer, ResourceKind, Stage, StepOutcome, deleted_by
from journal.journal import Journal
from journal.redaction import redacted_text
from journal.telemetry import Count, count
from rollback.closing import end_of_delete
from rollback.cloud import Cloud, DeleteAnswer, Found
from rollback.errors import CloudError, CloudRefused
from rollback.ledger import Ledger
from rollback.progress import Counted, Progress

FEW: Final = 5
"""Up to how many resources are asked for one by one, rather than by a listing."""
MANY: Final = 20
"""From more than how many on only numbers are told."""
IN_USE: Final = "it is still in use"


@attrs.define
class _Sent:
    """A delete that is waited for."""

    step: UUID
    deadline: datetime
    in_use: bool


class Deleting:
    """The deletes of one compensation, one kind of resource at a time."""

    def __init__(self, journal: Journal, cloud: Cloud, ledger: Ledger, progress: Progress) -> None:
        self.deleted: list[str] = []
        self.given_up: dict[str, str] = {}
        """What is not tried again in this compensation, with the reason."""
        self._journal = journal
        self._cloud = cloud
        self._ledger = ledger
        self._progress = progress
        self._attempts: Counter[str] = Counter()
        self._many = False
        self._kind = ResourceKind.SERVER
        self._sent: dict[str, _Sent] = {}
        self._unfiltered = False
        """Whether a server that is still there was missing in the listing by tag."""

    @property
    def asked_for(self) -> frozenset[str]:
        """What was asked for."""
        return frozenset(self._attempts)

    def expect(self, kind: ResourceKind, number: int) -> None:
        """Say of what kind come next, and how many: each of a few is told by name, of many only how many have been."""
        self._kind = kind
        self._many = number > MANY

    def send(self, ids: Sequence[str]) -> None:
        """Journal deletes in one append, and ask for them at the same time.

        Those that have not been asked for when somebody else appends are not: what they were decided on is stale.
        Raises VersionConflict, before anything is asked for, if it was stale before.
        """
        settings = self._journal.settings
        deadline = self._journal.clock.now() + timedelta(seconds=settings.api_timeout_seconds)
        steps = [self._intent(deadline, id_) for id_ in ids]
        self._ledger.append(*steps)
        with self._journal.threads.pool(len(steps)) as pool:
            answers = list(pool.map(self._begin, steps))
        ended: list[tuple[str, Completion]] = []
        for step, answer in zip(steps, answers, strict=True):
            if isinstance(answer, Completion):
                ended.append((deleted_by(step), answer))
            else:
                self._sent[deleted_by(step)] = _Sent(step.step, step.deadline, answer is DeleteAnswer.IN_USE)
        self._complete(ended)

    def _intent(self, deadline: datetime, id_: str) -> Delete:
        if self._kind is ResourceKind.SERVER:
            return DeleteServer(self._journal.new_id(), Stage.ROLLBACK, deadline, id_)
        return DeleteResource(self._journal.new_id(), Stage.ROLLBACK, deadline, self._kind, id_)

    def _begin(self, step: Delete) -> Completion | DeleteAnswer:
        id_ = deleted_by(step)
        if self._ledger.has_gone_on():
            return Completion(step.step, StepOutcome.FAILED, reason="not asked for: somebody appended meanwhile")
        self._attempts[id_] += 1
        if not self._many:
            self._progress(f"deleting {id_}")
        return self._ask(id_, step.step)

    def _ask(self, id_: str, step: UUID) -> Completion | DeleteAnswer:
        """Ask for one delete, and return how it ended; the answer where there is something to wait for."""
        try:
            answer = self._cloud.delete(id_, self._kind)
        except CloudRefused as error:
            return Completion(step, StepOutcome.FAILED, reason=f"the cloud refused: {error}")
        except CloudError as error:
            self._progress(redacted_text(f"the outcome of deleting {id_} is unknown: {error}"))
            return DeleteAnswer.ACCEPTED
        if answer is DeleteAnswer.ABSENT:
            return Completion(step, StepOutcome.ABSENT, reason=f"the {self._kind} was not there")
        return answer

    # ---- waiting

    def await_gone(self) -> None:
        """Wait until everything is gone whose delete was asked for, and complete the deletes as what they came to.

        As long as some come to an end the cloud is at work, however many there are. It is left alone at least as long
        as it took to look. What is in use is asked for again, as long as the request may be on its way.
        """
        settings, clock = self._journal.settings, self._journal.clock
        patience = timedelta(seconds=settings.delete_timeout_seconds)
        asked, self._sent = self._sent, {}
        pending = dict(asked)
        last_ended, again = clock.now(), list[tuple[str, Completion]]()
        while pending:
            looked_at = clock.now()
            ended = [*again, *self._ended(pending)]
            now = clock.now()
            self._complete(ended)
            for id_, _ in ended:
                del pending[id_]
            if ended:
                last_ended = now
            if ended and self._many:
                self._progress(Counted(len(asked) - len(pending), len(asked), "deletes have come to an end"))
            if pending and now >= last_ended + patience:
                self.given_up |= dict.fromkeys(pending, f"still there {settings.delete_timeout_seconds:g} s after its delete")
                return
            if pending:
                self._ledger.renew()
                took = (now - looked_at).total_seconds()
                clock.sleep(max(settings.poll_seconds, min(took, settings.heartbeat_seconds)))
                again = self._asked_again(pending)

    def _asked_again(self, pending: Mapping[str, _Sent]) -> list[tuple[str, Completion]]:
        """Ask again for what was in use, and return those deletes that came to an end by it."""
        ended = []
        for id_, sent in pending.items():
            if not sent.in_use:
                continue
            answer = self._answered_again(id_, sent)
            if isinstance(answer, Completion):
                ended.append((id_, answer))
            sent.in_use = answer is not DeleteAnswer.ACCEPTED
        return ended

    def _answered_again(self, id_: str, sent: _Sent) -> Completion | DeleteAnswer:
        if self._ledger.has_gone_on():
            return Completion(sent.step, StepOutcome.FAILED, reason=f"{IN_USE}, and somebody appended meanwhile")
        if self._journal.clock.now() >= sent.deadline:
            self.given_up[id_] = IN_USE
            return Completion(sent.step, StepOutcome.FAILED, reason=IN_USE)
        return self._ask(id_, sent.step)

    def _ended(self, pending: Mapping[str, _Sent]) -> list[tuple[str, Completion]]:
        """Return how those deletes ended that have, by a listing where many are waited for; what cannot be asked has not."""
        waiting = [id_ for id_, sent in pending.items() if not sent.in_use]
        try:
            listed = {} if len(waiting) <= FEW else self._listed()
        except CloudError:
            return []
        with self._journal.threads.pool(self._journal.settings.deletes_at_once) as pool:
            shown = list(pool.map(partial(self._shown, listed), waiting))
        ends = {id_: end_of_delete(found) for id_, (was_seen, found) in zip(waiting, shown, strict=True) if was_seen}
        return [(id_, Completion(pending[id_].step, end[0], reason=end[1])) for id_, end in ends.items() if end is not None]

    def _listed(self) -> Mapping[str, Found]:
        if self._kind is not ResourceKind.SERVER:
            listed: Iterable[Found] = self._cloud.list_kind(self._kind)
        else:
            listed = self._cloud.list_all() if self._unfiltered else self._cloud.list_journal(self._journal.id)
        return {found.id: found for found in listed}

    def _shown(self, listed: Mapping[str, Found], id_: str) -> tuple[bool, Found | None]:
        """Return whether the cloud could be asked, and how it shows something. Not to be listed is no proof of being gone."""
        if id_ in listed:
            return True, listed[id_]
        try:
            found = self._cloud.get(id_, self._kind)
        except CloudError:
            return False, None
        self._unfiltered |= bool(listed) and found is not None
        return True, found

    def _complete(self, ended: Sequence[tuple[str, Completion]]) -> None:
        """Record how deletes ended, by the ids of what they were for."""
        if not ended:
            return
        operation = self._ledger.history.step(ended[0][1].step).operation.id
        self._ledger.complete(operation, [completion for _, completion in ended])
        for id_, completion in ended:
            self._note_end(id_, completion)

    def _note_end(self, id_: str, completion: Completion) -> None:
        if completion.outcome is StepOutcome.FAILED:
            attempts = self._attempts[id_]
            if attempts >= self._journal.settings.delete_attempts:
                self.given_up[id_] = redacted_text(f"not deleted in {attempts} attempts: {completion.reason}")
            return
        self.deleted.append(id_)
        if not self._many:
            self._progress(f"{id_} is gone")
        count(Count.DELETIONS)
