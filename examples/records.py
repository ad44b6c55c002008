"""The example conductor's own record of its clusters: a file for each, which its users can read.

Without the file, the cluster is gone for its user. Other processes reach the records by a command:

    provjournal recover --record-command "python -m examples.records clusters"
"""

import json
import sys
from pathlib import Path
from typing import Any

from journal.events import ClusterStatus

GONE = 3


class Record:
    """The record of one cluster."""

    def __init__(self, folder: Path, cluster: str) -> None:
        self.path = folder / f"{cluster}.json"

    def exists(self) -> bool:
        """Whether the user still has this cluster."""
        return self.path.exists()

    def set_status(self, status: ClusterStatus | str, reason: str = "", version: int | None = None) -> None:
        """Show the user what became of the cluster.

        `version`: that of its stream which this rests on: what rests on an older one is late, and refused. None: the
        conductor's own word.
        """
        known = self._read().get("version", 0)
        version = known if version is None else version
        if version < known:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({"status": str(status), "reason": reason, "version": version}) + "\n")
        new.replace(self.path)

    @property
    def shown(self) -> str:
        """What the user sees."""
        record = self._read()
        return f"{record['status']} {record['reason']}".rstrip()

    def _read(self) -> dict[str, Any]:
        gone = {"status": "gone", "reason": "", "version": 0}
        return json.loads(self.path.read_text()) if self.exists() else gone


def main() -> int:
    """Answer for one record: `FOLDER exists CLUSTER` or `FOLDER set-status CLUSTER STATUS REASON VERSION`."""
    match sys.argv[1:]:
        case [folder, "exists", cluster]:
            return 0 if Record(Path(folder), cluster).exists() else GONE
        case [folder, "set-status", cluster, status, reason, version]:
            Record(Path(folder), cluster).set_status(status, reason, int(version))
            return 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
