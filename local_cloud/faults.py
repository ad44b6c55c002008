"""How a client asks for a fault: `inject=KIND` or `inject=KIND:SECONDS`, in metadata or in a description."""

import re
from collections.abc import Mapping
from typing import NamedTuple

REQUEST = re.compile(r"inject=(\w+)(?::([\d.]+))?")


class Fault(NamedTuple):
    """What shall go wrong; without a request the kind is empty."""

    kind: str
    seconds: float


def in_text(text: str) -> Fault:
    """Return the fault that a text asks for, somewhere."""
    found = REQUEST.search(text)
    return Fault(found[1], float(found[2] or 0)) if found else Fault("", 0)


def in_metadata(metadata: Mapping[str, str] | None) -> Fault:
    """Return the fault that the metadata of a server or a volume ask for."""
    return in_text(f"inject={(metadata or {}).get('inject', '')}")
