"""Cinder's API, scheduler and volume service as threads of one child process, with a volume driver of ours.

RPC is oslo.messaging's in-process `fake://`, as in nova; and as in nova the order of the steps matters.
"""

import os
import sys
from pathlib import Path

from local_cloud import processes, serve, sqlite

THREADS = 8


def serve_cinder(config: Path, descriptor: int, parent: int) -> None:
    """Bring the tables up to date, start the services and answer requests until the parent is gone."""
    processes.follow(parent)
    sqlite.prepare()
    os.environ["OS_CINDER_DISABLE_EVENTLET_PATCHING"] = "true"
    from cinder import monkey_patch

    monkey_patch.patch(backend="threading")
    configure(config)
    from cinder.db import migration
    from oslo_config import cfg
    from oslo_service import wsgi

    migration.db_sync()
    start_services()
    serve.stay(wsgi.Loader(cfg.CONF).load_app("osapi_volume"), descriptor, THREADS)


def configure(config: Path) -> None:
    """Read the configuration as cinder's own commands do; importing one of them registers its options."""
    import os_brick
    from cinder import objects, version
    from cinder.cmd import volume
    from cinder.common.config import set_middleware_defaults
    from oslo_config import cfg
    from oslo_log import log

    sys.argv = ["cinder-all", "--config-file", str(config)]
    objects.register_all()
    cfg.CONF(sys.argv[1:], project="cinder", version=version.version_string())
    cfg.CONF.register_opt(volume.host_opt, group="local_cloud")
    set_middleware_defaults()
    log.setup(cfg.CONF, "cinder")
    os_brick.setup(cfg.CONF)


def start_services() -> None:
    """Start the volume service, and after it the scheduler, which waits for an answer of the first."""
    from cinder import service

    volume = service.Service.create(
        binary="cinder-volume", host="cinder0@local_cloud", service_name="local_cloud", coordination=True
    )
    volume.start()
    service.Service.create(binary="cinder-scheduler").start()
    # Work under way is marked with this id, which the scheduler has just overwritten; the next start of the volume service
    # takes up what bears its own, such as a delete that was interrupted.
    service.Service.service_id = volume.origin_service_id
