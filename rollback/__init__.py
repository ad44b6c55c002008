"""What to do about it: the plan, the compensator, the cloud it acts on, and the handler at the top of each operation."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rollback.adoption import Adoption, adopt, adoptable
    from rollback.compensator import Preview, Report, preview, rollback_cluster
    from rollback.handler import Handler, handled
    from rollback.openstack import OpenStackCloud
    from rollback.orphans import Orphan, Sweep, Swept, delete_orphans, sweep
    from rollback.records import ClusterRecord, CommandRecord, NoRecord, Records
    from rollback.recovery import Recovery, recover

_HOMES = {
    "Adoption": "adoption",
    "ClusterRecord": "records",
    "CommandRecord": "records",
    "Handler": "handler",
    "NoRecord": "records",
    "OpenStackCloud": "openstack",
    "Orphan": "orphans",
    "Records": "records",
    "Recovery": "recovery",
    "Preview": "compensator",
    "Report": "compensator",
    "Sweep": "orphans",
    "Swept": "orphans",
    "adopt": "adoption",
    "adoptable": "adoption",
    "delete_orphans": "orphans",
    "handled": "handler",
    "preview": "compensator",
    "recover": "recovery",
    "rollback_cluster": "compensator",
    "sweep": "orphans",
}

__all__ = [
    "Adoption",
    "ClusterRecord",
    "CommandRecord",
    "Handler",
    "NoRecord",
    "OpenStackCloud",
    "Orphan",
    "Preview",
    "Records",
    "Recovery",
    "Report",
    "Sweep",
    "Swept",
    "adopt",
    "adoptable",
    "delete_orphans",
    "handled",
    "preview",
    "recover",
    "rollback_cluster",
    "sweep",
]


def __getattr__(name: str) -> Any:
    """Load public names when they are first used: only what acts on a cloud loads openstacksdk."""
    if name not in _HOMES:
        msg = f"module 'rollback' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module  # noqa: PLC0415 (only here)

    return getattr(import_module(f"rollback.{_HOMES[name]}"), name)
