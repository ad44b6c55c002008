"""The life of one cloud: prepare, start, watch, stop."""

import os
import signal
import socket
import threading
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

from local_cloud import config, image, keystone, network, neutron, serve
from local_cloud.compute import Compute
from local_cloud.files import write_json
from local_cloud.processes import TICK, Children, CloudError
from local_cloud.progress import Progress
from local_cloud.settings import Settings
from local_cloud.state import State

PATIENCE = 60.0
STUB_THREADS = 8


def run(directory: Path, settings: Settings, *, with_parent: bool) -> NoReturn:
    """Run a cloud until it is told to stop or dies. Nova's threads are no daemons: only os._exit ends this process."""
    progress = Progress()
    children = Children(directory)

    def stop(code: int) -> NoReturn:
        children.stop()
        os._exit(code)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop(0))
    if with_parent:
        threading.Thread(target=follow, args=(os.getppid(), stop), daemon=True, name="parent").start()
    try:
        state = State(directory)
        start(state, settings, children, progress)
        while True:
            time.sleep(TICK)
            children.watch()
    except CloudError as error:
        progress.line(f"FAILED {error}")
    except BaseException as error:  # whatever it is, this process must end
        traceback.print_exc()
        progress.line(f"FAILED {type(error).__name__}: {error}: see {directory / 'nova.log'}")
    stop(1)


def follow(parent: int, stop: Callable[[int], NoReturn]) -> None:
    """Stop the cloud when the process that started it is gone."""
    while os.getppid() == parent:
        time.sleep(TICK)
    stop(0)


def start(state: State, settings: Settings, children: Children, progress: Progress) -> None:
    """Bring everything up, as far as needed from nothing, and say READY."""
    directory = state.directory
    sockets, fresh = take_ports(state, settings)
    ports = {name: bound.getsockname()[1] for name, bound in sockets.items()}
    config.write(directory, ports, settings)
    progress.divert(directory / "nova.log")
    progress.say(f"{'preparing' if fresh else 'starting again in'} {directory}")

    def start_keystone() -> None:
        if fresh:
            keystone.prepare_database(children, directory / "keystone.conf", directory, serve.url(ports["keystone"]))
            progress.say("keystone database ready")
        children.keep("keystone", sockets["keystone"])

    with ThreadPoolExecutor(1) as pool:
        keystone_started = pool.submit(start_keystone)
        children.keep("placement", sockets["placement"])
        if settings.full:
            children.keep("neutron", sockets["network"], settings.respawn)
            children.keep("cinder", sockets["volume"], settings.respawn)
        compute = Compute(directory)
        progress.say("nova imported")
        if fresh:
            for step in compute.prepare_databases():
                progress.say(step)
        serve.serve(image.application(serve.url(ports["image"])), sockets["image"], STUB_THREADS)
        if not settings.full:
            serve.serve(network.application(serve.url(ports["network"])), sockets["network"], STUB_THREADS)
        keystone_started.result()

    wait(children, "keystone", f"{serve.url(ports['keystone'])}/v3", progress)
    wait(children, "placement", serve.url(ports["placement"]), progress)
    if fresh:
        keystone.prepare_identities(directory / "clouds.yaml", config.catalog(ports))
        progress.say("projects, users and catalog ready")
    networks = {"network": "none"}
    if settings.full:
        wait(children, "neutron", serve.url(ports["network"]), progress)
        wait(children, "cinder", serve.url(ports["volume"]), progress)
        networks = neutron.offer_networks(directory / "clouds.yaml")
    compute.start_services(settings.hosts)
    progress.say(f"conductor, scheduler and {settings.hosts} compute hosts are up")
    compute.start_api(sockets["compute"])
    if fresh:
        compute.prepare_flavors()
        state.set_prepared(settings, ports)
    clouds = directory / "clouds.yaml"
    ready = {
        "clouds_yaml": str(clouds),
        "image": image.IMAGE_ID,
        "flavor": "1",
        **networks,
        "ports": ports,
        "pid": os.getpid(),
    }
    write_json(directory / "ready.json", ready)
    progress.line(f"READY {clouds}")


def take_ports(state: State, settings: Settings) -> tuple[dict[str, socket.socket], bool]:
    """Bind the ports of the last start, or others for a cloud that must be prepared anew; say whether it must."""
    ports = state.prepared_ports(settings)
    sockets = serve.bind_all(ports) if ports else None
    if sockets is not None:
        return sockets, False
    state.clear()
    return {name: serve.bind() for name in (config.FULL_PORTS if settings.full else config.PORTS)}, True


def wait(children: Children, name: str, address: str, progress: Progress) -> None:
    """Wait until a service answers, whatever it says."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        children.check(name)
        try:
            urllib.request.urlopen(address, timeout=PATIENCE).close()
        except urllib.error.HTTPError:
            break
        except OSError:
            time.sleep(TICK)
        else:
            break
    else:
        raise CloudError(f"{name} does not answer: see {children.directory / name}.log")
    progress.say(f"{name} is up")
