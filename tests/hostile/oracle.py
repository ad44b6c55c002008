"""What is there of a cluster, by the services' own databases: whoever cleans up is not asked."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from rollback.marks import CLUSTER_KEY, FoundMarks

SECONDS: Final = 40.0
"""How long the services may take to finish what they have accepted."""
IN_DESCRIPTIONS: Final = ("ports", "floatingips", "securitygroups")
"""Neutron's tables of what has a description."""


class Oracle:
    """The databases of one local cloud."""

    def __init__(self, nova: dict[str, Any]) -> None:
        self._folder = Path(nova["clouds_yaml"]).parent
        self._is_full = "volume" in nova["ports"]

    def there(self, cluster: str) -> set[str]:
        """Return the ids of all that is there of a cluster, once nothing is on its way any more."""
        until = time.monotonic() + SECONDS
        while True:
            rows = [*self._servers(cluster), *(self._others(cluster) if self._is_full else ())]
            if not any(busy for _, busy in rows) or time.monotonic() > until:
                return {id_ for id_, _ in rows}
            time.sleep(0.2)

    def _servers(self, cluster: str) -> Iterator[tuple[str, bool]]:
        query = "SELECT uuid, task_state FROM instances WHERE deleted = 0 AND display_name LIKE ?"
        yield from ((uuid, bool(task)) for uuid, task in self._rows("nova_cell1", query, f"{cluster}-%"))

    def _others(self, cluster: str) -> Iterator[tuple[str, bool]]:
        for table in IN_DESCRIPTIONS:
            query = f"SELECT {table}.id, description FROM {table} JOIN standardattributes s ON s.id = standard_attr_id"  # noqa: S608 (a table of ours)
            yield from ((id_, False) for id_, text in self._rows("neutron", query) if _is_of(cluster, text))
        groups = "SELECT uuid, name FROM instance_groups"
        yield from ((id_, False) for id_, name in self._rows("nova_api", groups) if _is_of(cluster, name))
        keys = "SELECT name FROM key_pairs"
        yield from ((name, False) for (name,) in self._rows("nova_api", keys) if _is_of(cluster, name))
        volumes = (
            "SELECT v.id, v.status FROM volumes v JOIN volume_metadata m ON m.volume_id = v.id "
            "WHERE v.deleted = 0 AND m.deleted = 0 AND m.key = ? AND m.value = ?"
        )
        busy = ("creating", "deleting")
        yield from ((id_, status in busy) for id_, status in self._rows("cinder", volumes, CLUSTER_KEY, cluster))

    def _rows(self, database: str, query: str, *values: str) -> list[Any]:
        path = self._folder / f"{database}.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query, values).fetchall()


def _is_of(cluster: str, text: str | None) -> bool:
    return FoundMarks.of_text(text or "").cluster == cluster
