"""Timelines and reports as the command line makes them."""

import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from time import monotonic

import pytest
from histories import history, named
from pictured import large, troubled
from rich.cells import cell_len

from journal.codec import encode_line
from journal.command_line import main
from journal.events import Event, VerdictName
from journal.files import read_file
from projections.chart import ASCII, BLOCKS, chart, glyphs
from projections.fold import fold
from projections.report import SIGNS, report
from projections.timeline import timeline

HOSTILE = '"><script>alert(1)</script><img src=http://127.0.0.1:1/x onerror=alert(1)>'
REASON = "</pre></details><script>document.title='owned'</script> \x1b[31mred \u202eesrever {{ 7 * 7 }}"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on a journal of its own; return exit code, standard output and standard error."""
    monkeypatch.setenv("PROVJOURNAL_URL", f"sqlite:///{tmp_path}/journal.db")
    monkeypatch.setenv("TZ", "UTC")

    def run(*args: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(arg) for arg in args])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def filled(run: Run, tmp_path: Path) -> Run:
    file = tmp_path / "troubled.jsonl"
    file.write_bytes(b"".join(map(encode_line, troubled())))
    assert run("journal", "upgrade")[0] == 0
    assert run("journal", "import", file)[0] == 0
    return run


def page_of(events: Sequence[Event], *, is_past: bool = False, limit: int | None = None) -> str:
    return report(events, fold(events), owner_alive=False, is_past=is_past, utc=True, limit=limit)


class Elements(HTMLParser):
    """What elements and what text a page has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_timeline_has_a_line_for_each_step_with_what_it_was_about_how_long_it_took_and_how_it_ended(filled: Run) -> None:
    code, out, err = filled("timeline", "analytics-7", "--utc")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert "\x1b" not in out, "no colour where there is no terminal"
    steps = [line for line in lines if re.match(r"    \S.* (succeeded|failed|unfinished)$", line)]
    assert len(steps) == 22
    assert re.fullmatch(r"    create_server anal.*orker-1 █+ +40s succeeded", steps[0])
    assert re.fullmatch(r"    create_server anal.*gpu-2 +█+▶ +>1d23h unfinished", steps[15])
    assert re.fullmatch(r"    create_server anal.*gpu-3 +▒+ +4\.5s failed", steps[16])
    assert "      No valid host was found. There are not enough hosts available." in lines
    assert f"  {BLOCKS.cut} 1d23h of silence" in out
    for event in ("jane.doe@example.org asked for the cluster's deletion", "ops placed a hold", "ended as succeeded"):
        assert event in out
    assert [line.split()[0] for line in lines if line.startswith(("create ", "scale ", "delete "))] == [
        "create",
        "scale",
        "delete",
    ]


def test_bars_begin_and_end_where_their_steps_did(filled: Run) -> None:
    out = filled("timeline", "analytics-7", "--utc")[1]
    configured = [line for line in out.splitlines() if line.startswith("    configure")]
    created = [line for line in out.splitlines() if line.startswith("    create_server") and "orker" in line]
    assert max(line.rindex("█") for line in created[:4]) <= min(line.index("█") for line in configured) + 1
    assert [line.count("█") for line in configured] == sorted(line.count("█") for line in configured)


def test_a_timeline_can_be_of_one_operation_of_a_moment_and_short(filled: Run) -> None:
    code, out, _ = filled("timeline", "analytics-7", "--utc", "--at", "24")
    assert (code, "cluster analytics-7 · Active · version 24" in out, "scale" in out) == (0, True, False)
    operation = next(line.split()[1] for line in filled("timeline", "analytics-7")[1].splitlines() if line.startswith("scale"))
    code, out, _ = filled("timeline", "analytics-7", "--operation", operation)
    assert (code, "\ncreate" in out, "\ndelete" in out) == (0, False, False)
    code, out, _ = filled("timeline", "analytics-7", "--limit", "4")
    assert (code, out.count("unfinished\n"), "5 steps, ≤5 at once" in out) == (0, 6, True)
    code, out, err = filled("timeline", "analytics-7", "--operation", "nope")
    assert (code, out) == (2, "")
    assert "has no operation nope. `provjournal operation list --cluster analytics-7` names them" in err


@pytest.mark.parametrize("command", [("timeline", "nobody"), ("report", "nobody", "-o", "never.html")])
def test_an_unknown_cluster_ends_with_2(filled: Run, command: tuple[str, ...]) -> None:
    code, out, err = filled(*command)
    assert (code, out) == (2, "")
    assert "There is no cluster 'nobody'" in err
    assert not Path("never.html").exists()


@pytest.mark.parametrize(
    "command", [("timeline", "analytics-7"), ("timeline", "analytics-7", "--format", "chrome-trace"), ("report", "analytics-7")]
)
def test_a_file_that_cannot_be_written_ends_with_2_and_says_so(filled: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    code, out, err = filled(*command, "-o", tmp_path / "no" / "such" / "file")
    assert (code, out) == (2, "")
    assert err.endswith("file: cannot be written: No such file or directory\n")


def test_a_version_that_is_not_there_ends_with_2(filled: Run, tmp_path: Path) -> None:
    for command in (("timeline", "analytics-7"), ("report", "analytics-7", "-o", tmp_path / "r.html")):
        code, _, err = filled(*command, "--at", "1000")
        assert code == 2
        assert "versions are 1 to 50" in err


def test_what_is_written_into_a_file_is_what_is_shown(filled: Run, tmp_path: Path) -> None:
    for options in ((), ("--format", "chrome-trace")):
        code, out, _ = filled("timeline", "analytics-7", *options, "-o", tmp_path / "out")
        assert (code, out) == (0, "")
        assert (tmp_path / "out").read_text() == filled("timeline", "analytics-7", *options)[1]


def test_a_trace_is_json_with_all_steps(filled: Run) -> None:
    found = json.loads(filled("timeline", "analytics-7", "--format", "chrome-trace", "--limit", "1")[1])
    assert sum("step" in event["args"] for event in found["traceEvents"]) == 22
    assert [event["ph"] for event in found["traceEvents"] if event["args"].get("unfinished")] == ["B"] * 4


@pytest.mark.parametrize("width", [40, 57, 80, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_lines_fit_and_can_be_written_whatever_the_width_the_encoding_and_the_names(width: int, encoding: str) -> None:
    names = ("c" * 255, "語" * 60, HOSTILE, "a", "\N{PILE OF POO}" * 20)
    for events in [troubled(name, REASON) for name in names]:
        lines = list(chart(timeline(events, fold(events)), ("cluster", "x" * 300), width=width, encoding=encoding, utc=True))
        for line in lines:
            assert cell_len(line.plain) <= width
            line.plain.encode(encoding)
            assert line.plain.isprintable()


def test_what_an_encoding_lacks_is_drawn_with_what_it_has() -> None:
    assert (glyphs("utf-8"), glyphs("ascii"), glyphs("latin-1"), glyphs("nonsense")) == (BLOCKS, ASCII, ASCII, ASCII)


@pytest.mark.parametrize("colour", [True, False])
def test_in_a_terminal_it_fits_and_has_colour_unless_no_colour_is_asked_for(filled: Run, *, colour: bool) -> None:
    assert filled("timeline", "analytics-7")[0] == 0
    told = b""
    program = "import sys; from journal.command_line import main; sys.exit(main(['timeline', 'analytics-7']))"
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONUTF8": "1"} | ({} if colour else {"NO_COLOR": "1"})
    environment = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
    mine, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 61, 0, 0))
    with subprocess.Popen([sys.executable, "-c", program], stdin=its, stdout=its, stderr=its, env=environment) as process:
        os.close(its)
        with suppress(OSError):
            while read := os.read(mine, 1 << 16):
                told += read
    os.close(mine)
    assert process.returncode == 0
    text = told.decode()
    assert bool(re.search(r"\x1b\[(\d+;)?3[1-6]m", text)) is colour
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in text.splitlines()]
    assert 55 <= max(map(cell_len, lines)) <= 61


def test_ten_thousand_steps_stay_readable_and_fast() -> None:
    events = large(10_000)
    begun = monotonic()
    read = fold(events)
    lines = list(chart(timeline(events, read), ("large",), width=80, encoding="utf-8", utc=True))
    assert len(lines) > 10_000
    page = report(events, read, owner_alive=False, is_past=False, utc=True, limit=500)
    assert len(page) < 4_000_000
    assert monotonic() - begun < 30, "some seconds on any machine"


def test_ten_thousand_steps_fit_some_screens(run: Run, tmp_path: Path) -> None:
    (tmp_path / "large.jsonl").write_bytes(b"".join(map(encode_line, large(2_000))))
    run("journal", "upgrade")
    run("journal", "import", tmp_path / "large.jsonl")
    out = run("timeline", "large-1")[1]
    assert len(out.splitlines()) < 120
    (rest,) = [line for line in out.splitlines() if "more, ≤" in line]
    assert re.search(r"1900 more, ≤\d+ at on.* [▁▂▃▄▅▆▇█]{10,} ", rest)


def test_a_report_is_one_page_without_scripts_that_asks_for_nothing(filled: Run, tmp_path: Path) -> None:
    code, out, err = filled("report", "analytics-7", "-o", tmp_path / "r.html", "--utc")
    assert (code, out, err) == (0, "", f"analytics-7, 50 events: written to {tmp_path}/r.html\n")
    page = Elements((tmp_path / "r.html").read_text())
    assert {"script", "img", "iframe", "object", "form", "base"}.isdisjoint(tag for tag, _ in page.tags)
    refers = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("href", "src")]
    assert all(value and value.startswith(("#", "data:,")) for value in refers)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {value[1:] for value in refers if value and value.startswith("#")} <= ids
    assert "url(" not in page.text
    assert "@import" not in page.text
    assert "provjournal rollback analytics-7 --dry-run" in page.text


def test_a_report_tells_of_every_event_and_every_verdict() -> None:
    for name in named("plans"):
        events = list(read_file(history("plans", name)))
        events = [event for event in events if event.stream == events[0].stream]
        page = page_of(events)
        assert page == page_of(events), "the same input gives the same page"
        shown = page[page.index('id="events"') :]
        assert re.findall(r'class="number">(\d+)<', shown) == [str(event.version) for event in events]
        Elements(page).close()


def test_every_verdict_has_a_sign_of_its_own() -> None:
    assert set(SIGNS) == set(VerdictName)
    assert len({sign for sign, _ in SIGNS.values()}) == len(VerdictName)


def test_the_past_is_told_as_the_past_without_advice(filled: Run, tmp_path: Path) -> None:
    assert filled("report", "analytics-7", "-o", tmp_path / "r.html", "--utc", "--at", "24")[0] == 0
    text = Elements((tmp_path / "r.html").read_text()).text
    assert "As it was at version 24, 2026-11-23 10:02:34Z." in text
    assert "What to do next" not in text


def test_what_is_left_out_is_told() -> None:
    text = Elements(page_of(large(300), limit=50)).text
    for told in ("250 more steps, left out here", "250 more resources, left out here", "earlier events left out"):
        assert told in " ".join(text.split())


def test_nothing_from_the_journal_becomes_markup() -> None:
    page = page_of(troubled(HOSTILE, REASON))
    plain = Elements(page_of(troubled()))
    found = Elements(page)
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
    assert [sorted(attributes) for _, attributes in found.tags] == [sorted(attributes) for _, attributes in plain.tags]
    assert HOSTILE in found.text
    assert "{{ 7 * 7 }}" in found.text
    assert "\x1b" not in page
    assert "\u202e" not in re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)
