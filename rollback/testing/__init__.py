"""Testing with the journal: histories and what they replay to, a simulated cloud, and a process that dies at a chosen call.

Part of the library, for the tests of those who use it; nothing that runs in production imports it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rollback.testing.breach import Breach
    from rollback.testing.clock import SimulatedClock
    from rollback.testing.cloud import SimulatedCloud, SimulatedOther, SimulatedServer
    from rollback.testing.crashing import Crashing, CrashPoints, Killed
    from rollback.testing.everywhere import Survived, crash_everywhere
    from rollback.testing.faults import CLOUD_ERRORS, DELETIONS, Fault, raising
    from rollback.testing.golden import check_plan, update_plan
    from rollback.testing.histories import Begun, HistoryBuilder
    from rollback.testing.replaying import Replayed, replay
    from rollback.testing.safety import Unsafe, assert_safe, assert_safe_at
    from rollback.testing.threads import InlineExecutor, SimulatedThreads
    from rollback.testing.world import SimulatedProcess, SimulatedRecord, SimulatedRecords, SimulatedWorld

_HOMES = {
    "Begun": "histories",
    "Breach": "breach",
    "CLOUD_ERRORS": "faults",
    "CrashPoints": "crashing",
    "Crashing": "crashing",
    "DELETIONS": "faults",
    "Fault": "faults",
    "HistoryBuilder": "histories",
    "InlineExecutor": "threads",
    "Killed": "crashing",
    "Replayed": "replaying",
    "SimulatedClock": "clock",
    "SimulatedCloud": "cloud",
    "SimulatedOther": "cloud",
    "SimulatedProcess": "world",
    "SimulatedRecord": "world",
    "SimulatedRecords": "world",
    "SimulatedServer": "cloud",
    "SimulatedThreads": "threads",
    "SimulatedWorld": "world",
    "Survived": "everywhere",
    "Unsafe": "safety",
    "assert_safe": "safety",
    "assert_safe_at": "safety",
    "check_plan": "golden",
    "crash_everywhere": "everywhere",
    "raising": "faults",
    "replay": "replaying",
    "update_plan": "golden",
}

__all__ = [
    "CLOUD_ERRORS",
    "DELETIONS",
    "Begun",
    "Breach",
    "CrashPoints",
    "Crashing",
    "Fault",
    "HistoryBuilder",
    "InlineExecutor",
    "Killed",
    "Replayed",
    "SimulatedClock",
    "SimulatedCloud",
    "SimulatedOther",
    "SimulatedProcess",
    "SimulatedRecord",
    "SimulatedRecords",
    "SimulatedServer",
    "SimulatedThreads",
    "SimulatedWorld",
    "Survived",
    "Unsafe",
    "assert_safe",
    "assert_safe_at",
    "check_plan",
    "crash_everywhere",
    "raising",
    "replay",
    "update_plan",
]


def __getattr__(name: str) -> Any:
    """Load public names when they are first used: pytest loads this package wherever the library is installed."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module  # noqa: PLC0415 (only here)

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
