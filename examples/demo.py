"""The point of it all, on a real Nova: conductors are killed in the middle, and what they left behind is cleaned up exactly.

    make demo                                                    on a local cloud of its own
    make demo DEMO_CLOUD=name DEMO_IMAGE=id DEMO_FLAVOR=id       on a cloud of your clouds.yaml (DEMO_NETWORK=id, or none)

Each conductor is a process of its own and dies by SIGKILL, at a moment that Nova's API shows.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import attrs
from rich.console import Console
from rich.table import Column, Table

from examples.cloud import local_cloud
from journal import Journal, Settings
from journal.events import DELETED_STATUSES
from journal.store import UnfinishedStep
from rollback.cloud import Found
from rollback.openstack import OpenStackCloud

CONSOLE = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 130)
TRIES = 5
"""How often a scene is played again because its conductor was done before it could be killed."""
NOTED = {"decommission": "decommission", "configure": "configur", "start": "start"}
"""How the state begins that the example's plugin notes on a server, by action."""
DEATHS = {
    "decommission": "in stage decommission, while data is moved off the VM that is to go",
    "create_server": "in stage infrastructure, while the new VM is created",
    "configure": "in stage configure, while the new VM is configured",
    "start": "in stage start, while the new VM is started",
}
"""In which step a conductor dies that scales a cluster, and what it is doing then."""
LEASE_SECONDS = 8
API_TIMEOUT_SECONDS = 8
SETTLE_SECONDS = 2


@attrs.frozen
class Stage:
    """Where the demo happens: a cloud, what its VMs are made of, and a journal."""

    folder: Path
    cloud: str
    image: str
    flavor: str
    network: str

    @property
    def url(self) -> str:
        """The journal's URL."""
        return f"sqlite:///{self.folder}/journal.db"

    def conductor(self, *args: str) -> list[str]:
        """Return the command line of a conductor."""
        waits = ["--lease-seconds", str(LEASE_SECONDS), "--api-timeout-seconds", str(API_TIMEOUT_SECONDS)]
        server = [
            "--image",
            self.image,
            "--flavor",
            self.flavor,
            "--network",
            self.network,
            "--records",
            f"{self.folder}/clusters",
        ]
        return [sys.executable, "-m", "examples.conductor", *args, *server, *waits]


class Missed(Exception):
    """The conductor was done before it could be killed."""


def main() -> int:
    """Play the demo."""
    parser = argparse.ArgumentParser(description="kill conductors on a real Nova, and clean up after them")
    parser.add_argument("--cloud", help="a cloud of clouds.yaml (default: a local cloud of the demo's own)")
    parser.add_argument("--image")
    parser.add_argument("--flavor")
    parser.add_argument("--network", default="none")
    args = parser.parse_args()
    if args.cloud and not (args.image and args.flavor):
        parser.error("on a cloud of yours, say which image and flavor: make demo DEMO_CLOUD=… DEMO_IMAGE=… DEMO_FLAVOR=…")
    folder = Path(tempfile.mkdtemp(prefix="provjournal-demo-"))
    started = time.monotonic()
    try:
        if args.cloud:
            play(Stage(folder, args.cloud, args.image, args.flavor, args.network or "none"))
        else:
            say("Starting a real keystone, placement and nova on loopback, with Nova's fake hypervisor (about 20 s).")
            with local_cloud(folder / "cloud", progress=lambda line: CONSOLE.print(f"  [dim]{line}[/]")) as ready:
                os.environ["OS_CLIENT_CONFIG_FILE"] = ready["clouds_yaml"]
                play(Stage(folder, "demo", ready["image"], ready["flavor"], "none"))
    except KeyboardInterrupt:
        say("Interrupted: everything that was started is stopped.")
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say(f"\nThat was it, in {time.monotonic() - started:.0f} s. README.md tells how to put it into your conductor.")
    return 0


def play(stage: Stage) -> None:
    """Play all scenes on one cloud."""
    os.environ |= {"PROVJOURNAL_URL": stage.url, "OS_CLOUD": stage.cloud}
    cloud = OpenStackCloud.connect(stage.cloud)
    with Journal.open(stage.url, upgrade=True, settings=Settings()) as journal:
        scene(stage, "create", lambda cluster: lost_create(stage, journal, cloud, cluster))
        for action, what in DEATHS.items():
            scene(stage, f"scale-{action}".replace("_", "-"), partial(lost_scale, stage, journal, cloud, action, what))


def scene(stage: Stage, name: str, played: Callable[[str], None]) -> None:
    """Play a scene, and again with another cluster if its conductor was too fast."""
    for number in range(1, TRIES + 1):
        cluster = f"{name}-{number}"
        try:
            return played(cluster)
        except Missed:
            say("The conductor was done before it could be killed: once more, with another cluster.")
            run(stage.conductor("delete", cluster, "--settle-seconds", str(SETTLE_SECONDS)), show=False)
    msg = f"the conductor could not be caught in {TRIES} tries"
    raise SystemExit(msg)


def lost_create(stage: Stage, journal: Journal, cloud: OpenStackCloud, cluster: str) -> None:
    """A conductor creates a cluster and dies after Nova has accepted a VM, before it could record the VM's id."""
    title("A conductor creates a cluster of 3 VMs, and dies while a create is in flight")
    with running(stage.conductor("create", cluster, "--nodes", "worker=3", "--at-once", "1")) as conductor:
        kill_in(conductor, journal, cloud, cluster, "create_server")
    say("Killed with SIGKILL: Nova had accepted a VM whose id the conductor had not recorded.")
    clean_up(cloud, journal, cluster)
    finish(stage, cloud, journal, cluster)


def lost_scale(stage: Stage, journal: Journal, cloud: OpenStackCloud, action: str, what: str, cluster: str) -> None:
    """A conductor scales a cluster down and up, and dies in one stage of it."""
    title(f"A conductor scales a cluster by one VM down and one up, and dies {what}")
    run(stage.conductor("create", cluster, "--nodes", "worker=2"), show=False)
    victim = servers(cloud, journal, cluster)[0].id
    with running(stage.conductor("scale", cluster, "--nodes", "worker=1", "--remove", victim)) as conductor:
        kill_in(conductor, journal, cloud, cluster, action)
    say(f"Killed with SIGKILL in the middle of {action}. The VM that was to go is {victim}.")
    clean_up(cloud, journal, cluster)
    say("What was kept stays until a person decides. Here the user deletes the cluster:")
    finish(stage, cloud, journal, cluster)


def clean_up(cloud: OpenStackCloud, journal: Journal, cluster: str) -> None:
    """Show what is there, what is unfinished, what would be done and why, and do it."""
    show_servers(cloud, journal, cluster, "VMs in the cloud")
    run(
        [
            "provjournal",
            "step",
            "list",
            "--unfinished",
            "--cluster",
            cluster,
            "-c",
            "Version",
            "-c",
            "Stage",
            "-c",
            "Action",
            "-c",
            "Subject",
        ]
    )
    settle = ["--settle-seconds", str(SETTLE_SECONDS)]
    columns = ["-c", "Id", "-c", "Name", "-c", "Verdict", "-c", "Action", "-c", "Because"]
    run(["provjournal", "rollback", cluster, "--dry-run", "--wait", *settle, *columns])
    run(
        [
            "provjournal",
            "rollback",
            cluster,
            "--yes",
            "--wait",
            *settle,
            "-c",
            "Id",
            "-c",
            "Name",
            "-c",
            "Verdict",
            "-c",
            "Result",
        ]
    )
    show_servers(cloud, journal, cluster, "VMs in the cloud after the rollback")


def finish(stage: Stage, cloud: OpenStackCloud, journal: Journal, cluster: str) -> None:
    """Delete the cluster, as its user would, and show that nothing is left."""
    told = run(stage.conductor("delete", cluster, "--settle-seconds", str(SETTLE_SECONDS)), show=False)
    left = servers(cloud, journal, cluster)
    say(f"VMs left of cluster {cluster}: {len(left)}")
    if left:
        msg = f"cluster {cluster} left VMs behind: {', '.join(f'{server.id} ({server.status})' for server in left)}\n{told}"
        raise SystemExit(msg)


def kill_in(conductor: subprocess.Popen[bytes], journal: Journal, cloud: OpenStackCloud, cluster: str, action: str) -> None:
    """Kill a conductor in the middle of a step of this kind: Nova shows what it does, its journal does not have the end of it.

    From the step's intent on the conductor runs only between two looks, so that the moment cannot pass unseen. Raises
    Missed.
    """
    while conductor.poll() is None:
        step = unfinished(journal, cluster, action)
        if step is None:
            continue
        conductor.send_signal(signal.SIGSTOP)
        while unfinished(journal, cluster, action) == step:
            if nova_shows(cloud, journal, cluster, step):
                conductor.kill()
                conductor.wait()
                return
            conductor.send_signal(signal.SIGCONT)
            unfinished(journal, cluster, action)
            conductor.send_signal(signal.SIGSTOP)
        conductor.send_signal(signal.SIGCONT)
    raise Missed


def unfinished(journal: Journal, cluster: str, action: str) -> UnfinishedStep | None:
    """Return the cluster's unfinished step of this kind, if there is one."""
    steps = (step for step in journal.store.unfinished_steps() if (step.stream, step.action) == (cluster, action))
    return next(steps, None)


def nova_shows(cloud: OpenStackCloud, journal: Journal, cluster: str, step: UnfinishedStep) -> bool:
    """Whether Nova shows the effect of a step: a server with its mark, or what the plugin notes on a server."""
    shown = servers(cloud, journal, cluster)
    if step.action == "create_server":
        return any(server.marks is not None and server.marks.step_id == step.step for server in shown)
    metadata = (cloud.connection.compute.get_server(server.id).metadata for server in shown if server.id in step.subject)
    return any(noted.get("state", "").startswith(NOTED[step.action]) for noted in metadata)


def servers(cloud: OpenStackCloud, journal: Journal, cluster: str) -> list[Found]:
    """Return the cluster's VMs by their marks. For a moment Nova lists servers that are gone, as DELETED."""
    listed = (server for server in cloud.list_journal(journal.id) if server.status not in DELETED_STATUSES)
    ours = (server for server in listed if server.marks is not None and server.marks.cluster == cluster)
    return sorted(ours, key=lambda server: server.name or "")


def show_servers(cloud: OpenStackCloud, journal: Journal, cluster: str, caption: str) -> None:
    """Print the cluster's VMs as Nova lists them."""
    table = Table(*(Column(name, no_wrap=True) for name in ("Server", "Name", "Status")), title=caption, title_justify="left")
    for server in servers(cloud, journal, cluster):
        table.add_row(server.id, server.name, server.status)
    CONSOLE.print(table if table.row_count else f"{caption}: none")


@contextmanager
def running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a conductor as a process of its own, which does not outlive this one."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def run(command: Sequence[str], *, show: bool = True) -> str:
    """Run a command, showing it and what it prints; else return what it told on the way. SystemExit if it fails."""
    program = str(Path(sys.executable).parent / command[0]) if command[0] == "provjournal" else command[0]
    if show:
        CONSOLE.print(f"\n[bold]$ {' '.join(command)}[/]")
    done = subprocess.run([program, *command[1:]], capture_output=not show, text=True, check=False)
    if done.returncode:
        msg = f"{' '.join(command)} ended with {done.returncode}\n{done.stderr or ''}"
        raise SystemExit(msg)
    return done.stderr or ""


def title(text: str) -> None:
    """Print the title of a scene."""
    CONSOLE.print(f"\n[bold]{text}\n{'─' * len(text)}[/]")


def say(text: str) -> None:
    """Tell the newcomer what is going on."""
    CONSOLE.print(text)


if __name__ == "__main__":
    sys.exit(main())
