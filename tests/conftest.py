"""What tests on a real Nova share: one local cloud for the whole run."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from examples.cloud import local_cloud

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def nova(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A real keystone, placement and nova on loopback; what it yields is the cloud's `ready.json`."""
    state: Path = tmp_path_factory.mktemp("cloud")
    with local_cloud(state) as ready:
        os.environ["OS_CLIENT_CONFIG_FILE"] = ready["clouds_yaml"]
        yield ready
