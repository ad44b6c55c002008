"""A connection as the cloud's administrator, who makes what clients find."""

from pathlib import Path
from typing import Any


def connect(clouds: Path) -> Any:
    """Return a connection, to be closed, without a look at the settings of whoever runs this."""
    import openstack

    loader = openstack.config.OpenStackConfig(config_files=[str(clouds)], secure_files=[], vendor_files=[], load_envvars=False)
    return openstack.connection.Connection(config=loader.get_one(cloud="admin"))
