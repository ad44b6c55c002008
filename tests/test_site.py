"""The documentation as a site: built without a warning, it lacks no command, option or public name, and shows what is true."""

import re
import subprocess
import sys
import zlib
from itertools import count
from pathlib import Path

import pytest
from terminal import COMMANDS, ROOT, blocks, differences

import journal
import rollback
from projections.health import Ailment

DOCS = ROOT / "docs"
PAGES = [path for path in sorted(DOCS.glob("**/*.md")) if blocks(path.read_text(), "console")]
GROUPS = ("looking", "acting", "upkeep")
OF_TABLES = re.findall(
    r"`(--?[\w-]+)`", "".join(re.findall(r"^\| `-.*", (DOCS / "reference" / "output.md").read_text(), re.MULTILINE))
)
"""The options that reference/output.md describes for all commands that show a table or a record."""
OF_ALL = {"-h", "--help", "--journal", "--strict"}
"""The options that are described for all commands that have them; no page need repeat them."""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_commands_print_what_the_page_says(page: Path, tmp_path: Path) -> None:
    numbers = count()

    def folder() -> Path:
        made = tmp_path / str(next(numbers))
        made.mkdir()
        return made

    for shown, printed in differences(page.read_text(), folder):
        again = f"PYTHONPATH=.:tests python -m terminal {page.relative_to(ROOT)}"
        pytest.fail(
            f"`{again}` writes into the page what is printed now:\n\n$ {shown.command}\n{printed}\nThe page says:\n{shown.output}"
        )


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", DOCS, folder / "html"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.fixture(scope="session")
def described(site: Path) -> dict[str, set[str]]:
    """What the site describes, by kind: its inventory, as other sites would link to it."""
    *_, packed = (site / "objects.inv").read_bytes().split(b"\n", maxsplit=4)
    found: dict[str, set[str]] = {}
    for name, kind in re.findall(r"^(.+?) (\S+:\S+) -?\d+ ", zlib.decompress(packed).decode(), re.MULTILINE):
        found.setdefault(kind, set()).add(name)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_described(command: str, described: dict[str, set[str]]) -> None:
    program = f"provjournal {command}".replace(" ", "-")
    wanted = {option for option in options(command) if option not in OF_ALL and option not in OF_TABLES}
    assert {option for option in wanted if f"{program}.{option}" not in described["std:cmdoption"]} == set()


def options(command: str) -> set[str]:
    parser = COMMANDS[command].load()(None, None).get_parser(f"provjournal {command}")
    return {option for action in parser._actions for option in action.option_strings}  # noqa: SLF001 (argparse tells it nowhere else)


def test_options_of_all_commands_are_there_as_described(described: dict[str, set[str]]) -> None:
    shared = options("cluster list") | options("cluster show")
    assert {option for option in OF_TABLES if option not in shared} == set()
    assert {f"provjournal-journal.{option}" for option in ("--journal", "--strict")} <= described["std:cmdoption"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_found_from_the_start_page(command: str, site: Path) -> None:
    anchor = command.replace(" ", "-")
    homes = [group for group in GROUPS if f'href="#{anchor}"' in (site / "reference" / f"{group}.html").read_text()]
    assert len(homes) == 1, f"one page of docs/reference describes `{command}`, and its contents name it: {GROUPS}"
    assert f'href="reference/{homes[0]}.html"' in (site / "index.html").read_text()


@pytest.mark.parametrize("package", [journal, rollback], ids=lambda package: package.__name__)
def test_every_public_name_is_described(package: object, described: dict[str, set[str]]) -> None:
    names = {name for kind, found in described.items() if kind.startswith("py:") for name in found}
    missing = {name for name in package.__all__ if f"{package.__name__}.{name}" not in names}  # type: ignore[attr-defined]
    assert missing == set()


def test_every_page_is_in_the_navigation(site: Path) -> None:
    nav = (site / "index.html").read_text()
    pages = {str(path.relative_to(DOCS).with_suffix(".html")) for path in DOCS.glob("**/*.md")} - {"index.html"}
    assert {page for page in pages if f'href="{page}"' not in nav} == set()


def test_every_problem_of_health_is_told() -> None:
    told = (DOCS / "operations" / "monitoring.md").read_text()
    assert [ailment for ailment in Ailment if f"| `{ailment}` |" not in told] == []


def test_what_a_page_says_wrongly_is_found(tmp_path: Path) -> None:
    page = "<!-- scene: night -->\n\n```console\n$ provjournal cluster list -f value -c Cluster\ndata\nold\nweb\n```\n"
    assert [printed for _, printed in differences(page, lambda: tmp_path)] == ["data\nold\nshop\nweb\n"]
