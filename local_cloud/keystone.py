"""Keystone, as a child process: like nova it uses the global configuration object, so the two cannot share one."""

import grp
import os
import pwd
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_cloud import admin, processes, serve, sqlite
from local_cloud.config import PASSWORD, REGION
from local_cloud.processes import Children

THREADS = 8
PROJECTS = {"service": ("nova", ("admin", "service")), "demo": ("demo", ("member",)), "demo2": ("demo2", ("member",))}
"""The user of each project besides admin, and its roles there."""


def serve_keystone(config: Path, descriptor: int, parent: int) -> None:
    """Answer requests until the parent is gone."""
    processes.follow(parent)
    sqlite.prepare()
    sys.argv = ["keystone"]
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = str(config)
    from keystone.server.flask import core

    application = core.initialize_application(name="public", config_files=[str(config)])
    serve.stay(application, descriptor, THREADS)


def manage(config: Path, arguments: Sequence[str], parent: int) -> None:
    """Run keystone-manage, but not longer than the parent lives."""
    processes.follow(parent)
    sys.argv = ["keystone-manage", "--config-file", str(config), *arguments]
    from keystone.cmd.manage import main

    main()


def prepare_database(children: Children, config: Path, state: Path, address: str) -> None:
    """Make the tables, the keys for tokens, and the cloud's administrator."""

    def run(*arguments: str) -> None:
        children.once("keystone-manage", "--config", str(config), *arguments, log="keystone")

    for name in ("fernet-keys", "credential-keys"):
        (state / name).mkdir(mode=0o700)
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    run("db_sync")
    run("fernet_setup", "--keystone-user", user, "--keystone-group", group)
    addresses = [part for kind in ("public", "internal", "admin") for part in (f"--bootstrap-{kind}-url", f"{address}/v3")]
    run("bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", REGION, *addresses)


def prepare_identities(clouds: Path, catalog: Mapping[str, str]) -> None:
    """Make projects, users, roles and the service catalog."""
    with admin.connect(clouds) as connection:
        identity = connection.identity
        roles = {role.name: role for role in identity.roles()}
        for project_name, (user_name, role_names) in PROJECTS.items():
            project = identity.create_project(name=project_name, domain_id="default")
            user = identity.create_user(name=user_name, password=PASSWORD, domain_id="default", default_project_id=project.id)
            for role_name in role_names:
                identity.assign_project_role_to_user(project, user, roles[role_name])
        for kind, address in catalog.items():
            service = identity.create_service(type=kind, name=kind)
            for interface in ("public", "internal"):
                identity.create_endpoint(service_id=service.id, interface=interface, region_id=REGION, url=address)
