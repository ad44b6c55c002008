"""The example conductor as it looks without the journal: the same job, and what each line of it has to watch for.

It is here to be read beside `examples/conductor.py`; docs/side-by-side.md does so. It is as careful as such code gets,
and still leaks servers when it is killed between a create and the line that remembers the id, loses data when it is
killed while it scales, and leaves clusters in a status that no process is at work on.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from openstack.exceptions import NotFoundException, SDKException

from examples.plugin import Plugin
from examples.records import Record

LOG = logging.getLogger(__name__)


class ClusterIsGone(Exception):
    """The user has deleted the cluster meanwhile."""


class Conductor:
    """Builds clusters of VMs in one project of one cloud."""

    def __init__(self, compute: Any, plugin: Plugin, records: Any, **server: Any) -> None:
        self.compute = compute
        self.plugin = plugin
        self.records = records
        self.server = server

    def create(self, cluster: str, nodes: Mapping[str, int]) -> None:
        """Create a cluster: so many VMs in each node group."""
        record: Record = self.records(cluster)
        created: list[str] = []
        try:
            for group, count in nodes.items():
                for number in range(1, count + 1):
                    self._check_exists(record)
                    created.append(self._create_server(f"{cluster}-{group}-{number:03}"))
            for server_id in created:
                self._wait_until_active(record, server_id)
            self._check_exists(record)
            self.plugin.configure(created)
            self._check_exists(record)
            self.plugin.start(created)
        except ClusterIsGone:
            LOG.info("cluster %s was deleted while it was created", cluster)
            self._delete_servers(created)
        except Exception as error:
            LOG.exception("cluster %s could not be created", cluster)
            self._delete_servers(created)
            if record.exists():
                record.set_status("Error", str(error))
        else:
            if record.exists():
                record.set_status("Active")
            else:
                self._delete_servers(created)

    def scale(self, cluster: str, nodes: Mapping[str, int], remove: Sequence[str]) -> None:  # noqa: C901 (that is the point)
        """Remove some VMs of a cluster, and add others."""
        record: Record = self.records(cluster)
        created: list[str] = []
        stage = "decommission"
        try:
            self._check_exists(record)
            if remove:
                self.plugin.decommission(remove)
            stage = "infrastructure"
            for server_id in remove:
                self._check_exists(record)
                self._delete_server(record, server_id)
            for group, count in nodes.items():
                for number in range(1, count + 1):
                    self._check_exists(record)
                    created.append(self._create_server(f"{cluster}-{group}-{time.time_ns()}-{number:03}"))
            for server_id in created:
                self._wait_until_active(record, server_id)
            stage = "configure"
            self._check_exists(record)
            self.plugin.configure(created)
            self._check_exists(record)
            self.plugin.start(created)
        except ClusterIsGone:
            LOG.info("cluster %s was deleted while it was scaled", cluster)
            self._delete_servers(created)
        except Exception as error:
            LOG.exception("cluster %s could not be scaled", cluster)
            if stage == "infrastructure":
                with _logged(f"cluster {cluster}: its scale-down could not be finished"):
                    for server_id in remove:
                        self._delete_server(record, server_id)
                self._delete_servers(created)
            if record.exists():
                record.set_status("Error" if stage != "infrastructure" else "Active", str(error))
        else:
            if record.exists():
                record.set_status("Active")

    def delete(self, cluster: str) -> None:
        """Delete a cluster. What another process is creating for it right now is not found."""
        servers = [server.id for server in self.compute.servers() if server.name.startswith(f"{cluster}-")]
        self._delete_servers(servers)
        record: Record = self.records(cluster)
        if record.exists():
            record.set_status("Deleted")

    def _check_exists(self, record: Record) -> None:
        if not record.exists():
            raise ClusterIsGone

    def _create_server(self, name: str) -> str:
        try:
            return str(self.compute.create_server(name=name, **self.server).id)
        except SDKException:
            # It may have been created all the same: look for it by its name, and hope that no other has it.
            with _logged(f"server {name} could not be looked for"):
                for server in self.compute.servers(name=name):
                    self.compute.delete_server(server)
            raise

    def _wait_until_active(self, record: Record, server_id: str) -> None:
        until = time.monotonic() + 300
        while time.monotonic() < until:
            self._check_exists(record)
            server = self.compute.get_server(server_id)
            if server.status == "ERROR":
                msg = f"server {server_id} went to ERROR"
                raise RuntimeError(msg)
            if server.status == "ACTIVE":
                return
            time.sleep(1)
        msg = f"server {server_id} is not ACTIVE"
        raise TimeoutError(msg)

    def _delete_server(self, record: Record, server_id: str) -> None:
        self.compute.delete_server(server_id, ignore_missing=True)
        until = time.monotonic() + 300
        while time.monotonic() < until:
            self._check_exists(record)
            try:
                self.compute.get_server(server_id)
            except NotFoundException:
                return
            time.sleep(1)
        msg = f"server {server_id} is still there"
        raise TimeoutError(msg)

    def _delete_servers(self, server_ids: Sequence[str]) -> None:
        for server_id in server_ids:
            with _logged(f"server {server_id} could not be deleted"):
                self.compute.delete_server(server_id, ignore_missing=True)


@contextmanager
def _logged(what: str) -> Iterator[None]:
    try:
        yield
    except Exception:
        LOG.exception(what)
