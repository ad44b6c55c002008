"""A copy of the tree in which the tool can reach all that decides: it leaves functions with decorators alone."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import libcst as cst

GETTERS: Final = frozenset({"property", "cached_property"})


class _Getters(cst.CSTTransformer):
    """Take what computes a property out of its decorator: `name = property(get_name)`."""

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:  # noqa: ARG002, N802 (libcst's)
        body = [statement for old in updated_node.body.body for statement in _taken_out(old)]
        return updated_node.with_deep_changes(updated_node.body, body=body)


def _taken_out(statement: cst.CSTNode) -> tuple[cst.CSTNode, ...]:
    match statement:
        case cst.FunctionDef(decorators=[cst.Decorator(decorator=cst.Name(value=kind))]) if kind in GETTERS:
            name = statement.name.value
            getter = statement.with_changes(decorators=[], name=cst.Name(f"get_{name}"))
            return getter, cst.parse_statement(f"{name} = {kind}(get_{name})")
        case _:
            return (statement,)


def prepared(root: Path, folder: Path, deciding: list[str]) -> None:
    """Copy what git knows of a tree into a folder, and prepare the modules that decide."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout  # noqa: S607 (whichever git there is)
    for name in filter(None, tracked.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, target)
    for name in deciding:
        module = folder / name
        module.write_text(cst.parse_module(module.read_text()).visit(_Getters()).code)
