"""Who cannot delete what he does not see: keypairs only, and of those another user's."""

import pytest

from journal.events import ResourceKind
from projections.fold import History, fold
from projections.verdicts import Verdict
from rollback.owners import why_unseen
from rollback.plan import plan
from rollback.testing.histories import HistoryBuilder


def planned(made: HistoryBuilder) -> tuple[History, Verdict]:
    history = fold(made.events)
    (verdict,) = plan(history).verdicts
    return history, verdict


def test_a_keypair_is_not_there_only_if_its_own_user_does_not_see_it() -> None:
    made = HistoryBuilder().create().create_resource(ResourceKind.KEYPAIR, "k", user="user-a").succeeded()
    assert why_unseen(*planned(made), "user-a") is None
    assert why_unseen(*planned(made), "user-b") == "it belongs to user user-a, and no other user sees it: run this as that user"


@pytest.mark.parametrize("kind", sorted(set(ResourceKind) - {ResourceKind.SERVER, ResourceKind.KEYPAIR}))
def test_what_belongs_to_its_project_is_not_there_if_it_is_not_seen(kind: ResourceKind) -> None:
    made = HistoryBuilder().create().create_resource(kind, "r").succeeded()
    assert why_unseen(*planned(made), "user-a") is None


def test_an_adopted_server_is_not_there_if_it_is_not_seen() -> None:
    made = HistoryBuilder().adopt("vm-1").request_deletion()
    assert why_unseen(*planned(made), "user-a") is None
