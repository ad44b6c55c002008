"""Nova: API, conductor, scheduler and compute hosts as native threads of this process.

RPC is oslo.messaging's in-process `fake://`, so there is no broker, and no service may fork workers. Nova takes its settings
from the environment and from global objects: one cloud for each process, and the order of the steps matters.
"""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local_cloud import serve, sqlite

API_THREADS = 8
FLAVORS = {"1": ("tiny", 1, 64), "2": ("small", 2, 128), "9": ("huge", 100_000, 64)}
"""Id to name, vCPUs and MB of memory. No host is large enough for the last one."""


class Compute:
    """The compute service of one cloud."""

    def __init__(self, state: Path) -> None:
        """Import nova, without eventlet and before anything else of nova is imported."""
        self.state = state
        self.services: list[Any] = []
        sqlite.prepare()
        shutil.copy(Path(sys.prefix, "etc", "nova", "api-paste.ini"), state)
        os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "true"
        os.environ["OS_NOVA_CONFIG_DIR"] = str(state)
        os.environ["OS_NOVA_CONFIG_FILES"] = "api-paste.ini;nova.conf"  # nova expects the paste file first
        sys.argv = ["nova-api"]
        from nova import monkey_patch

        monkey_patch.patch(backend="threading")
        from nova import objects
        from nova.api.openstack import wsgi_app
        from nova.virt import fake

        from local_cloud.virt import FaultDriver

        fake.FaultDriver = FaultDriver  # nova looks for drivers below nova.virt only
        objects.register_all()
        wsgi_app.init_global_data([str(state / "api-paste.ini"), str(state / "nova.conf")], "osapi_compute", "nova-api")

    def prepare_databases(self) -> Iterator[str]:
        """Make the tables and the one cell; tell the steps."""
        from nova.cmd import manage

        manage.ApiDbCommands().sync()
        yield "nova api database ready"
        cells = manage.CellV2Commands()
        cells.map_cell0(database_connection=f"sqlite:///{self.state}/nova_cell0.db")
        manage.DbCommands().sync()
        cells.create_cell(name="cell1", database_connection=f"sqlite:///{self.state}/nova_cell1.db", transport_url="fake:///")
        yield "nova cell databases ready"

    def start_services(self, hosts: int) -> None:
        """Start everything but the API; keystone and placement answer already."""
        import os_vif
        from nova import conf, context
        from nova.objects import host_mapping

        os_vif.initialize()
        self.start_service("conductor", "fake0")
        self.start_service("scheduler", "fake0")
        for number in range(hosts):
            conf.CONF.set_override("host", f"fake{number}")
            self.start_service("compute", f"fake{number}", topic_alt="compute-alt")
        conf.CONF.set_override("host", "fake0")
        host_mapping.discover_hosts(context.get_admin_context())

    def start_service(self, name: str, host: str, **options: Any) -> None:
        """Start one service in threads; nova's own way would fork."""
        from nova import service

        started = service.Service.create(host=host, binary=f"nova-{name}", topic=name, **options)
        started.start()
        self.services.append(started)

    def start_api(self, bound: socket.socket) -> None:
        """Let clients in."""
        from nova.api.openstack import wsgi_app

        serve.serve(wsgi_app.init_application("osapi_compute", "nova-api"), bound, API_THREADS)

    def prepare_flavors(self) -> None:
        """Make the flavors, and the file without which nova-compute refuses a second start on the same databases."""
        from nova import context, objects

        from local_cloud.virt import node_id

        for flavor_id, (name, vcpus, memory) in FLAVORS.items():
            objects.Flavor(
                context=context.get_admin_context(),
                flavorid=flavor_id,
                name=name,
                vcpus=vcpus,
                memory_mb=memory,
                root_gb=1,
                ephemeral_gb=0,
                swap=0,
                rxtx_factor=1.0,
                is_public=True,
                disabled=False,
            ).create()
        (self.state / "compute_id").write_text(node_id("fake0"))
