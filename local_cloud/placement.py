"""Placement, as a child process: it takes two thirds of the CPU of a create, so it gets an interpreter of its own."""

from pathlib import Path

from local_cloud import processes, serve, sqlite

THREADS = 6


def serve_placement(config: Path, descriptor: int, parent: int) -> None:
    """Bring the tables up to date and answer requests until the parent is gone."""
    processes.follow(parent)
    sqlite.prepare()
    from oslo_config import cfg
    from placement import conf, db_api, deploy
    from placement.db.sqlalchemy import migration

    options = cfg.ConfigOpts()
    conf.register_opts(options)
    options([], project="placement", default_config_files=[str(config)])
    db_api.configure(options)
    migration.upgrade("head")
    serve.stay(deploy.loadapp(options), descriptor, THREADS)
