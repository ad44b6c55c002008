"""What happened: events, the rules of their order, and the stores that keep them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from journal.journal import Journal
    from journal.recorder import Operation
    from journal.settings import Settings
    from journal.steps import Absent, PlannedStep, Refused, Step

_HOMES = {
    "Absent": "steps",
    "Journal": "journal",
    "Operation": "recorder",
    "PlannedStep": "steps",
    "Refused": "steps",
    "Settings": "settings",
    "Step": "steps",
}

__all__ = ["Absent", "Journal", "Operation", "PlannedStep", "Refused", "Settings", "Step"]


def __getattr__(name: str) -> Any:
    """Load public names when they are first used, so that `import journal` stays light."""
    if name not in _HOMES:
        msg = f"module 'journal' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module  # noqa: PLC0415 (only here)

    return getattr(import_module(f"journal.{_HOMES[name]}"), name)
