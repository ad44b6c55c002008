"""The pytest plugin, run as its users run it."""

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from journal.codec import encode_line
from rollback.testing import HistoryBuilder, plugin

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent.parent
INSTALLED = {point.value for point in entry_points(group="pytest11")}
OPTIONS = () if plugin.__name__ in INSTALLED else ("-p", plugin.__name__)
"""Where the library was installed before it had the plugin."""
GOLDEN = """
import pytest

@pytest.mark.histories("histories")
def test_plan(history, golden_plan):
    golden_plan(history)
"""


@pytest.fixture(autouse=True)
def _finds_this_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def histories(pytester: pytest.Pytester) -> Path:
    folder = pytester.path / "histories"
    folder.mkdir()
    incident().write(folder / "incident-42.jsonl")
    return folder


def incident() -> HistoryBuilder:
    history = HistoryBuilder().create()
    history.create_server("w1").succeeded()
    history.create_server("w2")
    return history


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*OPTIONS, "-p", "no:cacheprovider", *args)


def told(result: pytest.RunResult) -> str:
    return result.stdout.str() + result.stderr.str()


def changed(golden: Path) -> None:
    """Have the golden plan say that w1 was kept."""
    plan = json.loads(golden.read_text())
    plan["verdicts"][0] |= {"verdict": "unsafe", "action": "keep", "because": "somebody may need it", "evidence": [2]}
    golden.write_text(json.dumps(plan))


def test_a_history_is_replayed_beside_the_test(pytester: pytest.Pytester, histories: Path) -> None:
    pytester.makepyfile("""
        from rollback.testing import HistoryBuilder

        def test_file(replay):
            found = replay("histories/incident-42.jsonl")
            assert found.history.version == 4
            assert [row.verdict for row in found.plan.verdicts] == ["new", "in_doubt"]

        def test_events(replay):
            assert replay(HistoryBuilder().create().events).plan.cluster_status == "Error"
    """)

    (pytester.path / "below").mkdir()
    for name in ("histories", f"{pytester._name}.py"):  # noqa: SLF001 (as makepyfile called it)
        (pytester.path / name).rename(pytester.path / "below" / name)

    run(pytester).assert_outcomes(passed=2)


def test_a_history_that_is_refused_fails_with_the_message_of_the_reader(pytester: pytest.Pytester, histories: Path) -> None:
    pytester.makepyfile("""
        def test_replay(replay):
            replay("histories/bad.jsonl")

        def test_plan(golden_plan):
            golden_plan("histories/bad.jsonl")

        def test_missing(replay):
            replay("histories/nothing.jsonl")
    """)
    (histories / "bad.jsonl").write_text("{}\n")

    result = run(pytester)

    result.assert_outcomes(failed=3)
    assert told(result).count("bad.jsonl, line 1: event lacks stream") >= 2
    assert "nothing.jsonl: cannot be read: No such file or directory" in told(result)
    assert "Error" not in told(result)


def test_a_golden_plan_that_is_missing_fails_with_the_command_that_writes_it(pytester: pytest.Pytester, histories: Path) -> None:
    pytester.makepyfile(test_it=GOLDEN)

    result = run(pytester)

    result.assert_outcomes(failed=1)
    assert "incident-42.jsonl has no golden plan. This writes incident-42.plan.json" in told(result)
    assert "pytest --update-plans 'test_it.py::test_plan[incident-42.jsonl]'" in told(result)


def test_plans_are_written_once_and_then_compared(pytester: pytest.Pytester, histories: Path) -> None:
    pytester.makepyfile(test_it=GOLDEN)
    golden = histories / "incident-42.plan.json"

    first = run(pytester, "--update-plans")
    first.assert_outcomes(passed=1)
    assert f"wrote {golden}" in told(first)
    assert json.loads(golden.read_text())["verdicts"][0]["server_id"] == "id-w1"

    again = run(pytester, "--update-plans")
    again.assert_outcomes(passed=1)
    assert "golden plans" not in told(again)
    run(pytester).assert_outcomes(passed=1)


def test_what_was_written_is_told_by_many_processes_too(pytester: pytest.Pytester, histories: Path) -> None:
    pytester.makepyfile(test_it=GOLDEN)

    assert f"wrote {histories / 'incident-42.plan.json'}" in told(run(pytester, "--update-plans", "-n", "1"))


def test_what_changed_is_told_in_words(pytester: pytest.Pytester, histories: Path) -> None:
    pytester.makepyfile(test_it=GOLDEN)
    run(pytester, "--update-plans")
    changed(histories / "incident-42.plan.json")

    result = run(pytester)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "incident-42.jsonl does not replay to its golden plan incident-42.plan.json any more",
            "cluster c-1:",
            "  server w1 (id-w1): was unsafe, keep → is new, delete",
            "    worse: it is deleted now, and was not: it may hold data",
            "    was because somebody may need it (evidence 2)",
            "    is because operation create did not finish (evidence 1, 2, 3)",
            "If this is what you want:",
        ],
        consecutive=True,
    )
    assert "w2" not in told(result).partition("cluster c-1")[2].partition("If this")[0]
    updated = run(pytester, "--update-plans")
    assert f"updated {histories / 'incident-42.plan.json'}" in told(updated)
    run(pytester).assert_outcomes(passed=1)


def test_reasons_and_evidence_may_change(pytester: pytest.Pytester, histories: Path) -> None:
    pytester.makepyfile(test_it=GOLDEN)
    run(pytester, "--update-plans")
    golden = histories / "incident-42.plan.json"
    golden.write_text(golden.read_text().replace("operation create", "the creation"))

    run(pytester).assert_outcomes(passed=1)


def test_a_status_and_what_is_listed_count(pytester: pytest.Pytester, histories: Path) -> None:
    pytester.makepyfile(test_it=GOLDEN)
    run(pytester, "--update-plans")
    golden = histories / "incident-42.plan.json"
    plan = json.loads(golden.read_text())
    plan["cluster_status"] = "Active"
    del plan["verdicts"][0]
    golden.write_text(json.dumps(plan))

    said = told(run(pytester))

    assert "the cluster becomes: was Active → is Error" in said
    assert "server w1 (id-w1): was not listed → is new, delete" in said


def test_what_the_command_prints_is_a_golden_plan(pytester: pytest.Pytester, histories: Path) -> None:
    pytester.makepyfile(test_it=GOLDEN)
    both = [*incident().events, *HistoryBuilder("c-2").create().events]
    file = histories / "incident-42.jsonl"
    file.write_bytes(b"".join(map(encode_line, both)))
    main = [sys.executable, "-c", "from journal.command_line import main; main()", "replay", file, "--plan"]
    printed = subprocess.run(main, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed.count("\n") == 2
    (histories / "incident-42.plan.json").write_text(printed)

    run(pytester).assert_outcomes(passed=1)


def test_what_is_no_plan_is_said_to_be_none(pytester: pytest.Pytester, histories: Path) -> None:
    pytester.makepyfile(test_it=GOLDEN)
    for text in ("no JSON", '{"stream": "c-1"}', "[1]"):
        (histories / "incident-42.plan.json").write_text(text)
        result = run(pytester)
        result.assert_outcomes(failed=1)
        assert "incident-42.plan.json is no plan document" in told(result)


def test_a_folder_below_counts_and_gives_its_name(pytester: pytest.Pytester, histories: Path) -> None:
    pytester.makepyfile(test_it=GOLDEN)
    (histories / "below").mkdir()
    incident().write(histories / "below" / "other.jsonl")

    result = run(pytester, "--collect-only", "-q")

    result.stdout.fnmatch_lines(["test_it.py::test_plan[[]below/other.jsonl]", "test_it.py::test_plan[[]incident-42.jsonl]"])


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ('histories("nowhere")', "there is no folder"),
        ('histories("empty")', "there is no *.jsonl in folder"),
        ("histories()", "names one folder"),
    ],
)
def test_a_folder_without_histories_is_an_error(pytester: pytest.Pytester, marker: str, message: str) -> None:
    (pytester.path / "empty").mkdir()
    pytester.makepyfile(f"""
        import pytest

        @pytest.mark.{marker}
        def test_it(history):
            pass
    """)

    result = run(pytester)

    result.assert_outcomes(errors=1)
    assert message in told(result)
    assert "Traceback" not in told(result)


def test_a_setting_makes_histories_tests(pytester: pytest.Pytester, histories: Path) -> None:
    pytester.makeini("[pytest]\nprovjournal_histories = histories")

    missing = run(pytester)
    missing.assert_outcomes(failed=1, passed=1)
    assert "pytest --update-plans histories/incident-42.jsonl::plan" in told(missing)
    run(pytester, "--update-plans").assert_outcomes(passed=2)
    result = run(pytester, "-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*incident-42.jsonl::plan PASSED*", "*incident-42.jsonl::safe PASSED*"])

    changed(histories / "incident-42.plan.json")
    result = run(pytester)
    result.assert_outcomes(failed=1, passed=1)
    assert "server w1 (id-w1): was unsafe, keep → is new, delete" in told(result)
    assert "Traceback" not in told(result)
    assert "golden.py" not in told(result)


def test_a_setting_outside_of_the_test_paths_is_collected_too(pytester: pytest.Pytester, histories: Path) -> None:
    (pytester.path / "tests").mkdir()
    (pytester.path / "tests" / "test_other.py").write_text("def test_it(): pass")
    pytester.makeini("[pytest]\ntestpaths = tests\nprovjournal_histories = histories")

    run(pytester, "--update-plans").assert_outcomes(passed=3)
    run(pytester, "tests").assert_outcomes(passed=1)


def test_a_history_that_is_refused_fails_as_an_item(pytester: pytest.Pytester, histories: Path) -> None:
    pytester.makeini("[pytest]\nprovjournal_histories = histories")
    (histories / "incident-42.jsonl").write_text("{}\n")

    result = run(pytester)

    result.assert_outcomes(failed=2)
    assert "incident-42.jsonl, line 1: event lacks stream" in told(result)
    assert "Traceback" not in told(result)
    assert "Malformed" not in told(result)


def test_a_setting_without_histories_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nprovjournal_histories = nowhere")

    result = run(pytester)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "provjournal_histories: there is no folder" in told(result)


def test_it_is_cheap_to_load() -> None:
    names = "('msgspec', 'journal.events', 'projections.fold', 'rollback.plan', 'rollback.testing.golden')"
    program = f"import sys, rollback.testing.plugin; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"
