"""The life of one cloud: prepare, start, watch, stop."""

import os
import signal
import threading
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

from local_cloud import config, image, keystone, network, serve
from local_cloud.compute import Compute
from local_cloud.processes import TICK, Children, CloudError
from local_cloud.progress import Progress
from local_cloud.state import State, write_json

PATIENCE = 60.0
STUB_THREADS = 8


def run(directory: Path, hosts: int, *, reclaim: int, with_parent: bool) -> NoReturn:
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
        start(state, hosts, reclaim, children, progress)
        while True:
            time.sleep(TICK)
            for name in list(children.running):
                children.check(name)
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


def start(state: State, hosts: int, reclaim: int, children: Children, progress: Progress) -> None:
    """Bring everything up, as far as needed from nothing, and say READY."""
    directory = state.directory
    ports = state.prepared_ports(hosts)
    sockets = serve.bind_all(ports) if ports else None
    fresh = sockets is None
    if sockets is None:
        state.clear()
        sockets = {name: serve.bind() for name in config.SERVICES}
    ports = {name: bound.getsockname()[1] for name, bound in sockets.items()}
    config.write(directory, ports, hosts, reclaim)
    progress.divert(directory / "nova.log")
    progress.say(f"{'preparing' if fresh else 'starting again in'} {directory}")

    def start_child(name: str) -> None:
        children.keep(name, directory / f"{name}.conf", sockets[name].fileno())
        sockets[name].close()

    def start_keystone() -> None:
        if fresh:
            keystone.prepare_database(children, directory / "keystone.conf", directory, serve.url(ports["keystone"]))
            progress.say("keystone database ready")
        start_child("keystone")

    with ThreadPoolExecutor(1) as pool:
        keystone_started = pool.submit(start_keystone)
        start_child("placement")
        compute = Compute(directory)
        progress.say("nova imported")
        if fresh:
            for step in compute.prepare_databases():
                progress.say(step)
        serve.serve(image.application(serve.url(ports["image"])), sockets["image"], STUB_THREADS)
        serve.serve(network.application(serve.url(ports["network"])), sockets["network"], STUB_THREADS)
        keystone_started.result()

    for name, path in (("keystone", "/v3"), ("placement", "/")):
        wait(children, name, serve.url(ports[name]) + path)
        progress.say(f"{name} is up")
    if fresh:
        keystone.prepare_identities(directory / "clouds.yaml", config.catalog(ports))
        progress.say("projects, users and catalog ready")
    compute.start_services(hosts)
    progress.say(f"conductor, scheduler and {hosts} compute hosts are up")
    compute.start_api(sockets["compute"])
    if fresh:
        compute.prepare_flavors()
        state.set_prepared(hosts, ports)
    clouds = directory / "clouds.yaml"
    ready = {
        "clouds_yaml": str(clouds),
        "image": image.IMAGE_ID,
        "flavor": "1",
        "network": "none",
        "ports": ports,
        "pid": os.getpid(),
    }
    write_json(directory / "ready.json", ready)
    progress.line(f"READY {clouds}")


def wait(children: Children, name: str, address: str) -> None:
    """Wait until a service answers, whatever it says."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        children.check(name)
        try:
            urllib.request.urlopen(address, timeout=PATIENCE).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(TICK)
        else:
            return
    raise CloudError(f"{name} does not answer: see {children.logs / name}.log")
