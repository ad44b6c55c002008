"""Nothing is deleted that a person has not looked at and said yes to."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from scenes import SECOND
from terminal import Terminal, terminal

from journal.events import OperationKind, Word
from journal.journal import Journal
from projections.fold import fold
from rollback.errors import CloudError

DELETING = ["rollback shop", "recover", "sweep --delete"]


def deleted(shell: Terminal) -> list[str]:
    return [id_ for method, id_ in shell.scene.cloud.writes if method == "delete"]


def journal_of(shell: Terminal) -> Journal:
    assert shell.scene.journal is not None
    return shell.scene.journal


def run(shell: Terminal, command: str) -> str:
    printed = shell.run(f"provjournal {command}")
    assert printed is not None
    assert "Traceback" not in printed
    return printed


@pytest.mark.parametrize("command", DELETING)
@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_a_no_changes_nothing(tmp_path: Path, command: str, answer: str) -> None:
    with terminal("orphans", tmp_path) as shell:
        before = run(shell, "journal export")
        shell.answer = lambda: answer
        printed = run(shell, command)
        assert (shell.code, "not confirmed: nothing was changed" in printed) == (3, True)
        assert deleted(shell) == []
        assert run(shell, "journal export") == before


@pytest.mark.parametrize("command", DELETING)
def test_where_nobody_sits_a_yes_is_given_beforehand(tmp_path: Path, command: str) -> None:
    with terminal("orphans", tmp_path) as shell:
        shell.answer = None
        printed = run(shell, command)
        assert (shell.code, deleted(shell)) == (2, [])
        assert "Nobody can be asked here: give --yes" in printed
        run(shell, f"{command} --yes")
        assert deleted(shell) != []


def test_what_is_asked_names_the_count_the_cluster_and_the_cloud(tmp_path: Path) -> None:
    with terminal("night", tmp_path) as shell:
        printed = run(shell, "rollback shop")
        assert f"Delete 3 servers of cluster shop in cloud {shell.scene.cloud.name}? [y/N] y" in printed
        assert len(deleted(shell)) == 3
        printed = run(shell, "rollback shop")
        assert "[y/N]" not in printed, "there is nothing left to ask"


def test_what_came_to_it_after_the_look_is_not_deleted(tmp_path: Path) -> None:
    with terminal("night", tmp_path) as shell:

        def land() -> str:
            shell.scene.add(SECOND, shell.scene.create_of("shop-worker-2"), journal_of(shell).id)
            return "y\n"

        shell.answer = land
        printed = run(shell, "rollback shop")
        assert (shell.code, "the plan is not the one that was looked at" in printed, deleted(shell)) == (3, True, [])
        shell.answer = lambda: "y\n"
        assert "Delete 4 servers" in run(shell, "rollback shop")
        assert len(deleted(shell)) == 4


def test_a_hold_that_came_after_the_look_stands(tmp_path: Path) -> None:
    with terminal("night", tmp_path) as shell:

        def hold() -> str:
            journal_of(shell).hold("shop", by="somebody", reason="wait")
            return "y\n"

        shell.answer = hold
        printed = run(shell, "rollback shop")
        assert (shell.code, "a hold stands, placed by somebody" in printed, deleted(shell)) == (3, True, [])
        shell.answer = None
        assert "a hold stands" in run(shell, "rollback shop")
        assert (shell.code, deleted(shell)) == (3, [])


def test_recover_deletes_only_what_was_looked_at(tmp_path: Path) -> None:
    with terminal("night", tmp_path) as shell:

        def land() -> str:
            shell.scene.add(SECOND, shell.scene.create_of("shop-worker-2"), journal_of(shell).id)
            return "y\n"

        shell.answer = land
        printed = run(shell, "recover")
        assert (shell.code, "the plan is not the one that was looked at" in printed, deleted(shell)) == (3, True, [])
        shell.answer = lambda: "y\n"
        run(shell, "recover")
        assert (len(deleted(shell)), SECOND in deleted(shell)) == (4, True)


def test_a_hold_that_is_released_after_the_look_lets_nothing_be_deleted(tmp_path: Path) -> None:
    with terminal("night", tmp_path) as shell:
        journal = journal_of(shell)
        journal.hold("shop", by="ops", reason="wait")
        for command in ("rollback shop", "recover"):
            journal.hold("shop", by="ops", reason="wait")
            looks = iter([lambda: None, lambda: journal.release("shop", by="ops", reason="looked")])
            shell.scene.cloud.on_listing = lambda looks=looks: next(looks, lambda: None)()  # type: ignore[misc]
            shell.answer = None
            printed = run(shell, command)
            assert (deleted(shell), shell.code) == ([], 3)
            assert "nobody has said yes to its deletion" in printed


def test_what_lands_while_nothing_was_to_be_deleted_is_not(tmp_path: Path) -> None:
    with terminal("nothing_landed", tmp_path) as shell:
        journal_of(shell).resolve("shop", "3ba3783d-e0f0-435a-bb68-1b85397dc718", Word.UNSAFE, by="ops", reason="x")
        journal_of(shell).resolve("shop", "20805e7c-e46c-4e0b-8b13-47d1d889ad76", Word.UNSAFE, by="ops", reason="x")
        listings = 0

        def land() -> None:
            nonlocal listings
            listings += 1
            if listings == LOOKED:
                shell.scene.add(SECOND, shell.scene.create_of("shop-worker-3"), journal_of(shell).id)

        shell.scene.cloud.on_listing = land
        shell.answer = None
        printed = run(shell, "rollback shop")
        assert SECOND in shell.scene.cloud.servers
        assert (deleted(shell), shell.code) == ([], 3)
        assert f"server {SECOND}: nobody has said yes to its deletion" in printed
        assert "Nobody can be asked here" in run(shell, "rollback shop")
        run(shell, "rollback shop --yes")
        assert deleted(shell) == [SECOND]


LOOKED = 3
"""The unfiltered listing with which the rollback looks itself, after the two of the look before it."""


@pytest.mark.parametrize("command", ["rollback data", "recover"])
def test_a_cluster_whose_record_is_gone_is_deleted_only_with_a_yes_to_that(tmp_path: Path, command: str) -> None:
    with terminal("night", tmp_path) as shell:
        shell.environment["PROVJOURNAL_RECORD_COMMAND"] = "sh -c 'exit 3'"
        foreseen = run(shell, f"{command} --dry-run")
        assert shell.code == 0
        if command != "recover":
            assert "the record of the cluster is gone: its deletion would be asked for" in foreseen
        before = run(shell, "journal export")
        shell.answer = lambda: "n\n"
        run(shell, command)
        assert (shell.code, deleted(shell), run(shell, "journal export")) == (3, [], before)
        shell.answer = lambda: "y\n"
        asked = run(shell, command)
        assert "Delete 3 servers of cluster data" in asked or "of 2 clusters" in asked
        assert len(deleted(shell)) >= 3


def test_a_record_that_goes_after_the_look_deletes_nothing(tmp_path: Path) -> None:
    with terminal("night", tmp_path) as shell:
        flag = tmp_path / "gone"
        shell.environment["PROVJOURNAL_RECORD_COMMAND"] = f"sh -c 'test ! -e {flag} || exit 3'"

        def go() -> str:
            flag.touch()
            return "y\n"

        shell.answer = go
        run(shell, "rollback shop")
        assert "deletion_requested" not in run(shell, "event list --cluster shop")
        assert len(deleted(shell)) == 3


def test_a_sweep_deletes_only_what_it_showed_and_tells_all_that_it_deleted(tmp_path: Path) -> None:
    with terminal("orphans", tmp_path) as shell:
        unmarked = fold(journal_of(shell).stream("web").events)
        served = next(id_ for id_, resource in unmarked.resources.items() if resource.name == "web-worker-1")
        shell.scene.cloud.servers[served].tags = ()
        shell.scene.cloud.servers[served].metadata.clear()
        journal_of(shell).resolve("web", served, Word.UNNEEDED, by="ops", reason="too many")
        printed = run(shell, "sweep --delete")
        assert "Delete 1 orphan of 1 cluster" in printed
        assert deleted(shell) == [SECOND]
        printed = run(shell, "sweep --delete --yes")
        for id_ in deleted(shell):
            assert f"| {id_} |" in printed or id_ == SECOND


def test_a_recovery_whose_look_failed_is_not_nothing(tmp_path: Path) -> None:
    with terminal("night", tmp_path) as shell:
        shell.answer = None

        def fail() -> None:
            raise CloudError("HTTP 500")

        shell.scene.cloud.on_listing = fail
        printed = run(shell, "recover --dry-run")
        assert (shell.code, "HTTP 500" in printed) == (1, True)
        printed = run(shell, "recover")
        assert (shell.code, "HTTP 500" in printed, "nothing to recover" in printed) == (1, True, False)


def test_one_damaged_guard_row_stops_the_recovery_of_no_other(tmp_path: Path) -> None:
    with terminal("night", tmp_path) as shell, closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        connection.execute("UPDATE streams SET changed_at = 'x' WHERE stream_id = 'data'")
        connection.commit()
        printed = run(shell, "recover --yes")
        assert (shell.code, len(deleted(shell))) == (1, 3)
        assert "data" in printed
        assert "Traceback" not in run(shell, "sweep")


def test_only_the_operation_that_was_looked_at_is_abandoned(tmp_path: Path) -> None:
    with terminal("night", tmp_path) as shell:

        def end_it() -> str:
            shell.answer = lambda: "y\n"
            journal = journal_of(shell)
            journal.abandon("shop", fold(journal.stream("shop").events).unfinished.id, by="other", reason="faster")  # type: ignore[union-attr]
            dead = journal.begin("shop", OperationKind.SCALE, shell.scene.cloud.name)
            dead.release()
            return "y\n"

        shell.answer = end_it
        printed = run(shell, "abandon shop --reason lost")
        assert (shell.code, "is not unfinished any more" in printed) == (3, True)
        assert fold(journal_of(shell).stream("shop").events).unfinished is not None


def test_a_hostile_name_cannot_forge_the_question(tmp_path: Path) -> None:
    with terminal("night", tmp_path) as shell:
        hostile = "ok\n  server x\nDelete 0 servers? [y/N] \x1b[2J\u202e:bomb:"
        shell.scene.add(SECOND, shell.scene.create_of("shop-worker-2"), journal_of(shell).id)
        shell.scene.cloud.servers[SECOND].name = hostile
        shell.answer = lambda: "n\n"
        printed = run(shell, "rollback shop")
        assert printed.count("\n  server ") == 4
        assert not {"\x1b", "\u202e", "\N{BOMB}"}.intersection(printed)


def test_more_than_may_be_deleted_is_refused_without_a_question(tmp_path: Path) -> None:
    with terminal("night", tmp_path) as shell:
        shell.answer = None
        printed = run(shell, "rollback shop --max-deletions 1")
        assert (shell.code, "more than the 1 that --max-deletions 1 allows" in printed, deleted(shell)) == (3, True, [])


def test_a_dry_run_asks_nothing_and_ends_with_0(tmp_path: Path) -> None:
    with terminal("night", tmp_path) as shell:
        shell.answer = None
        for command in ("rollback shop --dry-run", "recover --dry-run"):
            assert "This was a dry run" in run(shell, command).replace("this was", "This was")
            assert (shell.code, deleted(shell)) == (0, [])


def test_a_plan_that_was_reviewed_is_carried_out_without_a_question(tmp_path: Path) -> None:
    with terminal("night", tmp_path) as shell:
        shell.answer = None
        run(shell, "rollback shop --dry-run --out plan.json")
        run(shell, "rollback shop --plan plan.json")
        assert (shell.code, len(deleted(shell))) == (0, 3)
