"""Child processes that never outlive the cloud, and a cloud that never outlives its child processes."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

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


class Children:
    """The child processes of one cloud. Each writes to a log file of its own."""

    def __init__(self, logs: Path) -> None:
        """Start with no child."""
        self.logs = logs
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, command: str, *arguments: str, log: str, descriptors: Sequence[int] = ()) -> subprocess.Popen[bytes]:
        """Start `-m local_cloud COMMAND`."""
        line = [sys.executable, "-W", "ignore", "-m", "local_cloud", command, "--parent", str(os.getpid()), *arguments]
        with (self.logs / f"{log}.log").open("ab") as file:
            return subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=file, stderr=file, pass_fds=descriptors, cwd=REPOSITORY
            )

    def keep(self, name: str, config: Path, descriptor: int) -> None:
        """Start a service that must live as long as the cloud."""
        arguments = ("--config", str(config), "--socket", str(descriptor))
        self.running[name] = self.start(name, *arguments, log=name, descriptors=(descriptor,))

    def once(self, command: str, *arguments: str, log: str) -> None:
        """Run a command to its end."""
        with self.start(command, *arguments, log=log) as process:
            self.running[command] = process
            code = process.wait()
        del self.running[command]
        if code:
            raise CloudError(f"{command} failed with exit code {code}: see {self.logs / log}.log")

    def check(self, name: str) -> None:
        """Raise if a service has died."""
        code = self.running[name].poll()
        if code is not None:
            raise CloudError(f"{name} died with exit code {code}: see {self.logs / name}.log")

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
