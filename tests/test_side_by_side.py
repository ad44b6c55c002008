"""docs/side-by-side.md shows the two example conductors as they are, and counts right."""

import ast
import re
from functools import partial
from pathlib import Path
from typing import Any

import openstack
import pytest

from examples.plugin import Plugin
from examples.records import Record
from examples.without_journal import Conductor

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "side-by-side.md").read_text()
WITHOUT, WITH = ((ROOT / "examples" / name).read_text() for name in ("without_journal.py", "conductor.py"))

COUNTED = {
    "checks whether the cluster still exists": r"\b_check_exists\(record\)|\.exists\(\)",
    "places that catch errors": r"^ +except |with _logged",
    "calls that clean up": r"self\._delete_servers\(|self\.compute\.delete_server\(server\)",
}


def conductor(source: str) -> str:
    """Return the source of the class."""
    (found,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "Conductor")
    return str(ast.get_source_segment(source, found))


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL))
def test_the_code_is_that_of_the_examples(block: str) -> None:
    for method in re.split(r"\n\n(?= *def )", block.rstrip()):
        assert unindented(method) in unindented(WITHOUT) + unindented(WITH)


def unindented(code: str) -> str:
    return "\n".join(line.strip() for line in code.splitlines())


@pytest.mark.parametrize("what", COUNTED)
def test_the_figures_are_those_of_the_examples(what: str) -> None:
    figures = [len(re.findall(COUNTED[what], conductor(source), re.MULTILINE)) for source in (WITHOUT, WITH)]
    assert f"| {what} | {figures[0]} | {figures[1]} |" in DOCUMENT
    assert figures[1] == 0


def test_the_one_without_runs_too(nova: dict[str, Any], tmp_path: Path) -> None:
    record, server = Record(tmp_path, "plain"), {"image_id": nova["image"], "flavor_id": nova["flavor"], "networks": "none"}
    with openstack.connect(cloud="demo") as connection:
        connection.compute.default_microversion = "2.69"
        conductor = Conductor(connection.compute, Plugin(connection), partial(Record, tmp_path), **server)
        record.set_status("Creating")
        conductor.create("plain", {"master": 1, "worker": 1})
        assert record.shown == "Active"
        (worker,) = connection.compute.servers(name="plain-worker")
        conductor.scale("plain", {"worker": 1}, [worker.id])
        assert record.shown == "Active"
        conductor.delete("plain")
        assert record.shown == "Deleted"
