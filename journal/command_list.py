"""Which commands there are. Each is loaded when it is called; the list of all takes what they are for from their source."""

import argparse
import re
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from cliff.command import Command
from cliff.commandmanager import CommandManager, EntryPointWrapper


class Commands(CommandManager):
    """The commands of a group of entry points."""

    def load_commands(self, namespace: str) -> None:
        """Take note of the commands. cliff would load each of them here."""
        self.group_list.append(namespace)
        self.commands.update({point.name.replace("_", " "): point for point in entry_points(group=namespace)})

    def __iter__(self) -> Iterator[tuple[str, EntryPointWrapper | EntryPoint]]:
        return ((name, _listed(name, point)) for name, point in self.commands.items())


class Line(Command):
    """A command as the list of all shows it, which asks for its description only."""

    def __init__(self, app: Any, app_args: argparse.Namespace | None) -> None:
        """Look for no hooks, as cliff does for a command that it knows the name of: that reads all entry points."""
        super().__init__(app, app_args)

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Do nothing: it is not for that."""
        raise NotImplementedError


def _listed(name: str, point: EntryPointWrapper | EntryPoint) -> EntryPointWrapper | EntryPoint:
    """Return what the list shows of a command: itself, if its source does not tell what it is for."""
    if isinstance(point, EntryPointWrapper):  # one of cliff's own, which are loaded
        told, module = point.command_class.__doc__, point.command_class.__module__
    else:
        told, module = first_line(point), __name__
    if told is None:
        return point
    return EntryPointWrapper(name, type("Listed", (Line,), {"_description": told, "__module__": module}))


def first_line(point: EntryPoint) -> str | None:
    """Return the first line of what a command's class says of itself, without loading it; None if that is not found."""
    try:
        found = find_spec(point.module)
        if found is None or not isinstance(found.loader, SourceFileLoader):
            return None
        source = found.loader.get_source(point.module) or ""
    except ImportError:
        return None
    line = re.search(rf'^class {point.attr}\b[^"]*?:\n    """(.+?)(?:"""|$)', source, re.MULTILINE)
    return line and line[1]
