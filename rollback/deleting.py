"""Deleting servers: many at once, each journaled before it is asked for, and waited for by listing until it is gone."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID, uuid4

from journal.events import Completion, DeleteServer, Stage, StepOutcome
from journal.journal import Journal
from journal.telemetry import Count, count
from rollback.closing import end_of_delete
from rollback.cloud import Cloud, DeleteAnswer, FoundServer
from rollback.errors import CloudError, CloudRefused
from rollback.ledger import Ledger
from rollback.progress import Counted, Progress

FEW: Final = 5
"""Up to how many servers are asked for one by one, rather than by a listing."""
MANY: Final = 20
"""From more than how many servers on only numbers are told."""


class Deleting:
    """The deletes of one compensation."""

    def __init__(self, journal: Journal, cloud: Cloud, ledger: Ledger, progress: Progress) -> None:
        self.deleted: list[str] = []
        self.given_up: dict[str, str] = {}
        """Servers that are not tried again in this compensation, with the reason."""
        self._journal = journal
        self._cloud = cloud
        self._ledger = ledger
        self._progress = progress
        self._attempts: Counter[str] = Counter()
        self._many = False
        self._sent: dict[str, UUID] = {}
        """The steps of the deletes that are to be waited for."""
        self._unfiltered = False
        """Whether a server that is still there was missing in the listing by tag."""

    @property
    def asked_for(self) -> frozenset[str]:
        """The servers whose deletes were asked for."""
        return frozenset(self._attempts)

    def expect(self, servers: int) -> None:
        """Say how many are to be deleted: each of a few is told by name, of many only how many have been."""
        self._many = servers > MANY

    def send(self, server_ids: Sequence[str]) -> None:
        """Journal deletes in one append, and ask for them at the same time.

        Those that have not been asked for when somebody else appends are not: what they were decided on is stale.
        Raises VersionConflict, before anything is asked for, if it was stale before.
        """
        settings = self._journal.settings
        deadline = self._journal.clock.now() + timedelta(seconds=settings.api_timeout_seconds)
        steps = [DeleteServer(uuid4(), Stage.ROLLBACK, deadline, server_id) for server_id in server_ids]
        self._ledger.append(*steps)
        with self._journal.threads.pool(len(steps)) as pool:
            answers = list(pool.map(self._ask, steps))
        self._sent |= {step.server_id: step.step for step, ended in zip(steps, answers, strict=True) if ended is None}
        self._complete(ended for ended in answers if ended is not None)
        for step, ended in zip(steps, answers, strict=True):
            if ended is not None:
                self._note_end(step.server_id, ended.outcome, ended.reason)

    def _ask(self, step: DeleteServer) -> Completion | None:
        """Ask for one delete, and return how it ended; None where there is something to wait for."""
        if self._ledger.has_gone_on():
            return Completion(step.step, StepOutcome.FAILED, reason="not asked for: somebody appended meanwhile")
        self._attempts[step.server_id] += 1
        if not self._many:
            self._progress(f"deleting {step.server_id}")
        try:
            answer = self._cloud.delete(step.server_id)
        except CloudRefused as error:
            return Completion(step.step, StepOutcome.FAILED, reason=f"the cloud refused: {error}")
        except CloudError as error:
            self._progress(f"the outcome of deleting {step.server_id} is unknown: {error}")
            return None
        if answer is DeleteAnswer.ABSENT:
            return Completion(step.step, StepOutcome.ABSENT, reason="the server was not there")
        return None

    # ---- waiting

    def await_gone(self) -> None:
        """Wait until all servers are gone whose deletes were asked for, and complete the deletes as what they came to.

        As long as some come to an end the cloud is at work, however many there are. It is left alone at least as long
        as it took to look.
        """
        settings, clock = self._journal.settings, self._journal.clock
        patience = timedelta(seconds=settings.delete_timeout_seconds)
        asked, self._sent = self._sent, {}
        pending = dict(asked)
        last_ended = clock.now()
        while pending:
            looked_at = clock.now()
            ended = self._ended(pending)
            now = clock.now()
            self._complete(Completion(pending.pop(id_), outcome, reason=reason) for id_, (outcome, reason) in ended.items())
            for server_id, end in ended.items():
                self._note_end(server_id, *end)
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

    def _ended(self, pending: Iterable[str]) -> dict[str, tuple[StepOutcome, str | None]]:
        """Return which deletes have ended, and how; what cannot be asked has not."""
        waiting = list(pending)
        try:
            listed = {} if len(waiting) <= FEW else self._listed()
        except CloudError:
            return {}
        with self._journal.threads.pool(self._journal.settings.deletes_at_once) as pool:
            shown = list(pool.map(partial(self._shown, listed), waiting))
        ends = {id_: end_of_delete(server) for id_, (was_seen, server) in zip(waiting, shown, strict=True) if was_seen}
        return {id_: end for id_, end in ends.items() if end is not None}

    def _listed(self) -> Mapping[str, FoundServer]:
        listed = self._cloud.list_all() if self._unfiltered else self._cloud.list_journal(self._journal.id)
        return {server.id: server for server in listed}

    def _shown(self, listed: Mapping[str, FoundServer], server_id: str) -> tuple[bool, FoundServer | None]:
        """Return whether the cloud could be asked, and how it shows a server. Not to be listed is no proof of being gone."""
        if server_id in listed:
            return True, listed[server_id]
        try:
            server = self._cloud.get(server_id)
        except CloudError:
            return False, None
        self._unfiltered |= bool(listed) and server is not None
        return True, server

    def _note_end(self, server_id: str, outcome: StepOutcome, reason: str | None) -> None:
        if outcome is StepOutcome.FAILED:
            attempts = self._attempts[server_id]
            if attempts >= self._journal.settings.delete_attempts:
                self.given_up[server_id] = f"not deleted in {attempts} attempts: {reason}"
            return
        self.deleted.append(server_id)
        if not self._many:
            self._progress(f"{server_id} is gone")
        count(Count.DELETIONS)

    def _complete(self, completions: Iterable[Completion]) -> None:
        done = list(completions)
        if done:
            self._ledger.complete(self._ledger.history.steps[done[0].step].operation.id, done)
