"""A volume driver without storage, with the faults that a test asks for in a volume's metadata.

inject=create_fail       the volume goes to error
inject=create_slow:SECS  the volume is creating for SECS seconds
inject=delete_fail       the first delete fails (error_deleting), the second one, of an administrator, works
inject=delete_slow:SECS  deleting takes SECS seconds
inject=connect_fail      no server can be connected: one that is created with the volume goes to ERROR
"""

import time
from typing import Any

from cinder import exception
from cinder.volume import driver

from local_cloud import faults


def injected() -> Exception:
    """Return the error of a storage that a client asked for."""
    error: Exception = exception.VolumeBackendAPIException(data="injected")
    return error


class FaultDriver(driver.VolumeDriver):
    """A storage that always has room: whatever is asked of it is done, or fails on request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Start without a failed delete."""
        super().__init__(*args, **kwargs)
        self.failed: set[str] = set()

    def get_volume_stats(self, refresh: bool = False) -> dict[str, Any]:  # cinder's signature
        """Return what the scheduler asks for."""
        return {
            "volume_backend_name": "local_cloud",
            "vendor_name": "local",
            "driver_version": "1",
            "storage_protocol": "iSCSI",
            "total_capacity_gb": "infinite",
            "free_capacity_gb": "infinite",
            "reserved_percentage": 0,
            "multiattach": True,
            "thin_provisioning_support": True,
        }

    def create_volume(self, volume: Any) -> None:
        """Create a volume, or not."""
        kind, seconds = faults.in_metadata(volume.metadata)
        if kind == "create_fail":
            raise injected()
        if kind == "create_slow":
            time.sleep(seconds)

    def delete_volume(self, volume: Any) -> None:
        """Delete a volume, or not."""
        kind, seconds = faults.in_metadata(volume.metadata)
        if kind == "delete_slow":
            time.sleep(seconds)
        if kind == "delete_fail" and volume.id not in self.failed:
            self.failed.add(volume.id)
            raise injected()

    def initialize_connection(self, volume: Any, connector: Any) -> dict[str, Any]:
        """Return a connection that leads nowhere: nova's fake driver does not look."""
        if faults.in_metadata(volume.metadata).kind == "connect_fail":
            raise injected()
        target = {
            "target_discovered": False,
            "target_portal": "127.0.0.1:3260",
            "target_iqn": f"iqn.{volume.id}",
            "target_lun": 1,
        }
        return {"driver_volume_type": "iscsi", "data": {**target, "volume_id": volume.id, "access_mode": "rw"}}

    def clone_image(self, *_: Any) -> tuple[dict[str, Any], bool]:
        """Say that the image is in the volume, so that nobody downloads it."""
        return {}, True

    def succeed(self, *_: Any, **__: Any) -> None:
        """Do what takes no storage: nothing."""

    check_for_setup_error = ensure_export = create_export = remove_export = terminate_connection = succeed
    create_snapshot = delete_snapshot = create_volume_from_snapshot = create_cloned_volume = extend_volume = succeed
