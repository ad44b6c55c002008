"""Nova's own fake virt driver, with the faults that a test asks for in a server's metadata.

inject=spawn_fail         the build fails on the host: the server goes to ERROR
inject=spawn_slow:SECS    the server is in BUILD for SECS seconds
inject=destroy_fail       the first delete fails on the host (the server goes to ERROR), the second one works
inject=destroy_slow:SECS  deleting takes SECS seconds
"""

import time
import uuid
from typing import Any

from nova import exception
from nova.virt import fake

from local_cloud import faults


def node_id(node: str) -> str:
    """Return the same id for a node in every run: else a restart on the same databases would not find its nodes."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, node))


class FaultDriver(fake.FakeDriver):
    """A host that always has room and fails on request."""

    vcpus = 10_000
    memory_mb = 8_000_000
    local_gb = 6_000_000

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Start without a failed delete."""
        super().__init__(*args, **kwargs)
        self.failed: set[str] = set()

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:  # nova's signature
        """Return the nodes under their lasting ids."""
        return {node_id(name): name for name in self.get_available_nodes()}

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """Return what the fake driver reports, under the lasting id."""
        return {**super().get_available_resource(nodename), "uuid": node_id(nodename)}

    def spawn(self, context: Any, instance: Any, *args: Any, **kwargs: Any) -> None:
        """Build a server, or not."""
        kind, seconds = faults.in_metadata(instance.metadata)
        if kind == "spawn_fail":
            raise exception.BuildAbortException(instance_uuid=instance.uuid, reason="injected")
        if kind == "spawn_slow":
            time.sleep(seconds)
        super().spawn(context, instance, *args, **kwargs)

    def destroy(self, context: Any, instance: Any, *args: Any, **kwargs: Any) -> None:
        """Delete a server, or not."""
        kind, seconds = faults.in_metadata(instance.metadata)
        if kind == "destroy_slow":
            time.sleep(seconds)
        if kind == "destroy_fail" and instance.uuid not in self.failed:
            self.failed.add(instance.uuid)
            raise exception.NovaException("injected destroy failure")
        super().destroy(context, instance, *args, **kwargs)
