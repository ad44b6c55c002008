"""Commands that act without a cloud: words, abandoning, a plan as a file, health; and a person's yes."""

import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from command import HISTORY, Run, rows

from journal.command_line import CommandError
from journal.events import OperationKind
from journal.journal import Journal
from rollback.commands.confirming import confirm

STEP = "60296798-b8dc-585f-9155-5c35b542267c"
"""The create in doubt of the history."""


# Words


def test_a_word_is_recorded_and_what_it_changes_is_shown(filled: Run) -> None:
    code, out, err = filled("resolve", "c-1", "id-g1", "unsafe", "--by", "ops", "--reason", "looks used", "-f", "json")
    changed = {row["What"]: (row["Before"], row["After"]) for row in rows(out)}
    assert code == 0
    assert changed["server g1 (id-g1)"] == (
        "new → delete: operation scale did not finish, and nothing was put on it",
        "unsafe → keep: ops said so",
    )
    assert "`provjournal rollback c-1 --dry-run` shows what is deleted by now" in err
    assert rows(filled("event", "list", "--type", "operator_resolved", "-f", "json")[1])[0]["What"] == (
        "ops said that id-g1 is unsafe (looks used)"
    )


def test_a_dry_run_of_a_word_appends_nothing(filled: Run) -> None:
    before = filled("journal", "export")[1]
    code, out, err = filled("resolve", "c-1", STEP, "gone", "--reason", "looked", "--dry-run", "-f", "json")
    assert (code, "nothing was appended" in err, filled("journal", "export")[1]) == (0, True, before)
    assert any("gone → none" in row["After"] for row in rows(out))


def test_a_create_in_doubt_is_said_to_have_made_nothing(filled: Run) -> None:
    assert filled("resolve", "c-1", STEP, "gone", "--reason", "looked")[0] == 0
    assert "in_doubt" not in [row["Verdict"] for row in rows(filled("plan", "show", "c-1", "-f", "json")[1])]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ("c-1", "nope", "unsafe"),
            "Cluster 'c-1' does not know nope. `provjournal server list --cluster c-1` names what it knows.",
        ),
        (("c-1", "id-w1", "gone"), "id-w1 is no create of cluster 'c-1': `gone` is said of a create, by the id of its step"),
        (("c-9", "id-w1", "unsafe"), "There is no cluster 'c-9' in this journal."),
        (("c-1", "id-w1", "fine"), "invalid choice: 'fine' (choose from"),
        (("c-1", "g1", "unsafe"), "Cluster 'c-1' does not know g1. Did you mean id-g1 (g1)?"),
        (("c-1", STEP, "unsafe"), "that is in doubt: only `gone` can be said of it."),
    ],
)
def test_a_word_that_makes_no_sense_ends_with_2_and_appends_nothing(filled: Run, args: tuple[str, ...], said: str) -> None:
    before = filled("journal", "export")[1]
    code, _, err = filled("resolve", *args, "--reason", "x")
    assert (code, said in err, filled("journal", "export")[1]) == (2, True, before)


def test_an_operator_has_a_name_and_a_reason(filled: Run) -> None:
    for command in (("resolve", "c-1", "id-w1", "unsafe"), ("hold", "c-1"), ("abandon", "c-1")):
        assert filled(*command)[0] == 2
        assert filled(*command, "--reason", " ")[0] == 2
        assert filled(*command, "--reason", "x", "--by", "")[0] == 2


def test_a_release_of_what_is_not_held_appends_nothing(filled: Run) -> None:
    code, _, err = filled("release", "c-1", "--reason", "x")
    assert (code, err) == (0, "cluster c-1 is not held: there is nothing to release\n")
    assert len(filled("journal", "export")[1].splitlines()) == 19


# Abandoning


def test_an_abandoned_operation_leaves_everything_and_reports_it(filled: Run) -> None:
    code, out, _ = filled("abandon", "c-1", "--by", "ops", "--reason", "the region is lost", "--yes", "-f", "json")
    changed = {row["What"]: row["After"] for row in rows(out)}
    assert (code, changed["status"], changed["unfinished operation"]) == (0, "Error", "")
    plan = rows(filled("plan", "show", "c-1", "-f", "json")[1])
    assert [(row["Id"], row["Verdict"], row["Action"]) for row in plan] == [
        ("id-w1", "in_service", "keep"),
        ("id-w2", "in_service", "keep"),
        ("id-w3", "unsafe", "keep"),
        ("id-g1", "unsafe", "keep"),
    ]
    (end,) = rows(filled("event", "list", "--type", "operation_finished", "--since", "1h", "-f", "json")[1])
    assert "abandoned by ops: the region is lost" in end["What"]
    assert filled("abandon", "c-1", "--reason", "again", "--yes")[::2] == (
        2,
        "provjournal: No operation of cluster 'c-1' is unfinished: there is nothing to abandon.\n",
    )


def test_an_operation_of_a_living_owner_is_not_abandoned(run: Run, tmp_path: Path) -> None:
    run("journal", "upgrade")
    with Journal.open(f"sqlite:///{tmp_path}/journal.db", conductor="a") as journal:
        journal.begin("c-1", OperationKind.CREATE, "RegionOne/1")
        code, _, err = run("abandon", "c-1", "--reason", "x", "--yes")
    assert (code, "is owned by a" in err) == (3, True)


def test_abandoning_needs_a_yes(filled: Run) -> None:
    before = filled("journal", "export")[1]
    code, _, err = filled("abandon", "c-1", "--reason", "x")
    assert (code, "give --yes to do it, or --dry-run to look first" in err) == (2, True)
    code, out, _ = filled("abandon", "c-1", "--reason", "x", "--dry-run", "-f", "json")
    assert (code, bool(rows(out)), filled("journal", "export")[1]) == (0, True, before)


# A plan as a file


def test_a_plan_is_written_as_a_file(filled: Run, tmp_path: Path) -> None:
    assert filled("plan", "show", "c-1", "-o", tmp_path / "plan.json")[0] == 0
    written = json.loads((tmp_path / "plan.json").read_text())
    assert written == json.loads(filled("replay", HISTORY, "--plan")[1])
    code, _, err = filled("plan", "show", "c-1", "-o", tmp_path / "no" / "plan.json")
    assert (code, "the plan cannot be written" in err) == (2, True)


# A yes


def answered(answer: str) -> tuple[int, str]:
    """Ask on a terminal of its own, answer, and return the exit code and what was shown."""
    program = (
        "import sys; from journal.command_line import CommandError\n"
        "from rollback.commands.confirming import confirm\n"
        "try: confirm('Delete 2 servers?', ['server a', 'server b'])\n"
        "except CommandError as error: print(error); sys.exit(error.code)"
    )
    master, slave = pty.openpty()
    shown: list[str] = []
    with subprocess.Popen([sys.executable, "-c", program], stdin=slave, stdout=slave, stderr=slave) as asked:
        os.close(slave)

        def read() -> None:
            try:
                while text := os.read(master, 1000).decode():
                    shown.append(text)
                    if "[y/N]" in text:
                        os.write(master, answer.encode())
            except OSError:
                pass

        reader = threading.Thread(target=read)
        reader.start()
        code = asked.wait()
        reader.join()
    os.close(master)
    return code, "".join(shown)


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("YES\n", 0), ("n\n", 3), ("\n", 3), ("\x04", 3), ("yes please\n", 3)])
def test_only_a_yes_is_a_yes(answer: str, code: int) -> None:
    found, shown = answered(answer)
    assert (found, "server a" in shown, "Delete 2 servers? [y/N]" in shown) == (code, True, True)
    assert ("not confirmed: nothing was changed" in shown) == (code == 3)


def test_nobody_is_asked_where_nobody_can_answer() -> None:
    with pytest.raises(CommandError, match=r"Nobody can be asked here: give --yes") as refused:
        confirm("Delete 2 servers?")
    assert refused.value.code == 2


# Health


def test_health_names_what_to_look_at(filled: Run) -> None:
    code, out, _ = filled("health", "-f", "json")
    assert (code, [(row["Problem"], row["Cluster"]) for row in rows(out)]) == (
        1,
        [("unfinished_for_long", "c-1"), ("owner_gone", "c-1")],
    )
    code, out, _ = filled("health", "--unfinished-for", "9999d", "-f", "json")
    assert [row["Problem"] for row in rows(out)] == ["owner_gone"]
    assert filled("health", "--unfinished-for", "soon")[0] == 2
    assert filled("health", "--unfinished-for", "99999999999w")[0] == 2


def test_health_of_a_held_cluster_names_the_hold_and_no_recovery(filled: Run) -> None:
    filled("hold", "c-1", "--by", "ops", "--reason", "looking")
    (gone,) = [row for row in rows(filled("health", "-f", "json")[1]) if row["Problem"] == "owner_gone"]
    assert gone["What"] == "nobody is at work on the unfinished scale; a hold stands, placed by ops: looking"
    assert gone["Next"] == "provjournal plan show c-1, then provjournal release c-1 --reason …"
    assert gone["Since"] == "2026-11-23T10:00:19.000Z"


def test_health_is_silent_and_ends_with_0_where_nothing_is_wrong(run: Run, tmp_path: Path) -> None:
    run("journal", "upgrade")
    assert run("health", "-f", "value")[:2] == (0, "")
    with Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal:
        journal.begin("c-1", OperationKind.CREATE, "RegionOne/1")
        assert run("health", "-f", "value")[:2] == (0, "")


def test_a_compensation_that_keeps_failing_is_told(filled: Run, tmp_path: Path) -> None:
    from journal.events import ErrorDuring, ErrorRecorded  # noqa: PLC0415

    with Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal:
        stream = journal.stream("c-1")
        for number in range(3):
            assert "compensation_failed" not in filled("health")[1]
            stream.append_next(ErrorRecorded(ErrorDuring.COMPENSATION, f"failure {number}"), operation=stream.unfinished)
    (told,) = [row for row in rows(filled("health", "-f", "json")[1]) if row["Problem"] == "compensation_failed"]
    assert told["What"] == "its compensation has failed 3 times, lastly: failure 2"
    assert "compensation_failed" not in filled("health", "--failures", "4")[1]


def test_what_nobody_accounts_for_and_damage_are_told(filled: Run, tmp_path: Path) -> None:
    filled("abandon", "c-1", "--reason", "x", "--yes")
    (undecided,) = rows(filled("health", "-f", "json")[1])
    assert (undecided["Problem"], "2 resources, server w3 (id-w3) among them" in undecided["What"]) == ("undecided", True)
    filled("resolve", "c-1", "id-g1", "new", "--reason", "ours")
    assert [row["Problem"] for row in rows(filled("health", "-f", "json")[1])] == ["orphan", "undecided"]
    import sqlite3  # noqa: PLC0415

    connection = sqlite3.connect(tmp_path / "journal.db")
    connection.executescript("DROP TRIGGER events_refuse_DELETE; DELETE FROM events WHERE version = 7")
    connection.close()
    assert [row["Problem"] for row in rows(filled("health", "-f", "json")[1])] == ["damaged"]


def test_health_for_prometheus(filled: Run) -> None:
    code, out, _ = filled("health", "--prometheus")
    assert code == 1
    assert 'provjournal_problems{problem="owner_gone"} 1.0' in out.splitlines()
    assert 'provjournal_problems{problem="damaged"} 0.0' in out.splitlines()
    assert "provjournal_unfinished_steps 2.0" in out.splitlines()
