"""Real database servers as children of the tests: in temporary folders, on free loopback ports, dead with the tests."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

START_SECONDS = 180


class ServerMissing(Exception):
    """The server is not installed."""


class ServerProcess:
    """One server: a command, run as a user of its own where the tests run as root, since servers refuse root."""

    def __init__(self, folder: Path, command: Sequence[str | Path], user: str) -> None:
        self.folder = folder
        self.command = command
        self.user = user
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, is_ready: Callable[[], bool], extra: Sequence[str] = ()) -> None:
        """Start the server and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(as_user(self.user, [*self.command, *extra]), stdout=log, stderr=log)
        until = time.monotonic() + START_SECONDS
        while not is_ready():
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                msg = f"{self.command[0]} does not answer:\n{(self.folder / 'log').read_text(errors='replace')[-3000:]}"
                raise RuntimeError(msg)
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server in an orderly way."""
        self._end(signal.SIGINT if self.user == "postgres" else signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server with all its processes."""
        if self.process is not None:
            children = psutil.Process(self.process.pid).children(recursive=True)
            self._end(signal.SIGKILL)
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            psutil.wait_procs(children, timeout=START_SECONDS)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=START_SECONDS)
            self.process = None


def as_user(user: str, command: Sequence[str | Path]) -> list[str]:
    """Return a command that dies with this process, run as another user if this one is root."""
    death = ["setpriv", "--pdeathsig", "KILL"]
    who = ["--reuid", user, "--regid", user, "--clear-groups"] if os.geteuid() == 0 else []
    return [*death, *who, "--", *map(str, command)]


def run_as(user: str, command: Sequence[str | Path]) -> None:
    """Run a command to its end. Raises RuntimeError with what it printed if it fails."""
    done = subprocess.run(as_user(user, command), capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        raise RuntimeError(msg)


def folder_of(user: str, name: str) -> Path:
    """Return a new temporary folder that belongs to a user."""
    folder = Path(tempfile.mkdtemp(prefix=f"provjournal-{name}-"))
    if os.geteuid() == 0:
        shutil.chown(folder, user, user)
    return folder


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
