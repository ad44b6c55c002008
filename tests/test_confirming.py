"""Nothing is deleted that a person has not looked at and said yes to."""

from pathlib import Path

import pytest
from scenes import SECOND
from terminal import Terminal, terminal

from journal.journal import Journal

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
