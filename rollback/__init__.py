"""What to do about it: the plan, the compensator, the cloud it acts on, and the handler at the top of each operation."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rollback.compensator import Report, preview, rollback_cluster
    from rollback.handler import delete_cluster, operation
    from rollback.openstack import OpenStackCloud

__all__ = ["OpenStackCloud", "Report", "delete_cluster", "operation", "preview", "rollback_cluster"]

_HOMES = {
    "OpenStackCloud": "openstack",
    "Report": "compensator",
    "delete_cluster": "handler",
    "operation": "handler",
    "preview": "compensator",
    "rollback_cluster": "compensator",
}


def __getattr__(name: str) -> Any:
    """Load public names when they are first used: only what acts on a cloud loads openstacksdk."""
    if name not in _HOMES:
        msg = f"module 'rollback' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module  # noqa: PLC0415 (only here)

    return getattr(import_module(f"rollback.{_HOMES[name]}"), name)
