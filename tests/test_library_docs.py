"""The examples of docs/library.md run, in order, on a real Nova, Neutron and Cinder; every public name stands in one."""

import os
import re
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import journal
import rollback

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), re.DOTALL)
SHORT = "Settings(api_timeout_seconds=8, lease_seconds=9, settle_seconds=1, poll_seconds=0.3)"


def test_the_examples_run(full_cloud: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "OS_CLOUD", "demo")
    server = {"image_id": full_cloud["image"], "flavor_id": full_cloud["flavor"], "networks": "none"}
    names: dict[str, Any] = {"server": server, "network": full_cloud["network"]}
    for block in BLOCKS:
        exec(compile(block.replace("Settings()", SHORT), "docs/library.md", "exec"), names)  # noqa: S102 (our own documentation)
    names["lost"].close()
    names["cloud"].connection.close()


@pytest.mark.parametrize("name", [*journal.__all__, *rollback.__all__])
def test_every_public_name_stands_in_an_example(name: str) -> None:
    assert any(re.search(rf"\b{name}\b", block) for block in BLOCKS)


@pytest.mark.parametrize("package", [journal, rollback])
def test_every_public_name_says_what_it_is(package: Any) -> None:
    found = {name: getattr(package, name) for name in package.__all__}
    assert [name for name, value in found.items() if isinstance(value, type | FunctionType) and not value.__doc__] == []
