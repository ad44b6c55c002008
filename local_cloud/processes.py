"""Child processes that never outlive the cloud, and a cloud that never outlives its child processes."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from local_cloud import serve
from local_cloud.files import write_text

REPOSITORY = Path(__file__).resolve().parent.parent
"""The working directory of every child, so that `-m local_cloud` finds this package."""
TICK = 0.1


class CloudError(Exception):
    """The cloud cannot go on; the message says why."""


def follow(parent: int) -> None:
    """Leave as soon as the parent is gone, however it went; called first, since imports alone take seconds."""

    def watch() -> NoReturn:
        while os.getppid() == parent:
            time.sleep(TICK)
        os._exit(0)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
    threading.Thread(target=watch, daemon=True, name="follow").start()


@dataclass
class Respawn:
    """How a service comes back."""

    seconds: float
    start: Callable[[], None]
    due: float | None = None

    def proceed(self) -> None:
        """Note that the service is dead, or start it when it has been so for long enough."""
        if self.due is None:
            self.due = time.monotonic() + self.seconds
        elif time.monotonic() >= self.due:
            self.due = None
            self.start()


class Children:
    """The child processes of one cloud. Each writes to a log file of its own; services have a file with their pid."""

    def __init__(self, directory: Path) -> None:
        """Start with no child."""
        self.directory = directory
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.respawning: dict[str, Respawn] = {}

    def start(self, command: str, *arguments: str, log: str, descriptors: Sequence[int] = ()) -> subprocess.Popen[bytes]:
        """Start `-m local_cloud COMMAND`."""
        line = [sys.executable, "-W", "ignore", "-m", "local_cloud", command, "--parent", str(os.getpid()), *arguments]
        with (self.directory / f"{log}.log").open("ab") as file:
            return subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=file, stderr=file, pass_fds=descriptors, cwd=REPOSITORY
            )

    def keep(self, name: str, reserved: socket.socket, respawn: float | None = None) -> None:
        """Start a service that must live as long as the cloud, or that comes back so many seconds after its death.

        It gets a socket of its own on the reserved port: what died with it refuses connections, and keeps none waiting.
        """

        def start() -> None:
            with serve.bind(reserved.getsockname()[1]) as bound:
                arguments = ("--config", str(self.directory / f"{name}.conf"), "--socket", str(bound.fileno()))
                self.running[name] = self.start(name, *arguments, log=name, descriptors=(bound.fileno(),))
            write_text(self.directory / f"{name}.pid", str(self.running[name].pid))

        start()
        if respawn is not None:
            self.respawning[name] = Respawn(respawn, start)

    def once(self, command: str, *arguments: str, log: str) -> None:
        """Run a command to its end."""
        with self.start(command, *arguments, log=log) as process:
            self.running[command] = process
            code = process.wait()
        del self.running[command]
        if code:
            raise CloudError(f"{command} failed with exit code {code}: see {self.directory / log}.log")

    def check(self, name: str) -> None:
        """Raise if a service has died."""
        code = self.running[name].poll()
        if code is not None:
            raise CloudError(f"{name} died with exit code {code}: see {self.directory / name}.log")

    def watch(self) -> None:
        """Raise if a service has died, or start it again when its time has come."""
        for name in list(self.running):
            if name not in self.respawning:
                self.check(name)
            elif self.running[name].poll() is not None:
                self.respawning[name].proceed()

    def stop(self) -> None:
        """Kill every child and wait for it; by system calls only, since a signal handler may interrupt Popen.wait."""
        processes = list(self.running.values())
        for process in processes:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        for process in processes:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, 0)
