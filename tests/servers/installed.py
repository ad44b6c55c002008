"""Servers that are there, or a reason why a test is left out."""

import os
from collections.abc import Callable
from typing import TypeVar

import pytest
from servers.process import ServerMissing

Server = TypeVar("Server")


def installed(make: Callable[[], Server]) -> Server:
    """Make a server, or skip the test where it is not installed; CI leaves none out."""
    try:
        return make()
    except ServerMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{missing} is not installed")
