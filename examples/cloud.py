"""Starting and stopping the local cloud, for the demo and for the tests."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-cloud" / "bin" / "python"


@contextmanager
def local_cloud(state: Path, *options: str, progress: Callable[[str], None] = lambda _: None) -> Iterator[dict[str, Any]]:
    """Run the local cloud for the length of the block, and yield what its `ready.json` says. It dies with this process.

    `options` are more of its own, as `--hosts`, `8`.
    """
    if not PYTHON.exists():
        msg = "the local cloud's environment is missing: run `make demo` or `make test`, which make it"
        raise SystemExit(msg)
    command = [str(PYTHON), "-W", "ignore", "-m", "local_cloud", "run", "--state", str(state), "--with-parent", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield _await_ready(process, state, progress)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _await_ready(process: "subprocess.Popen[str]", state: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        progress(line.rstrip())
        if line.startswith("READY "):
            ready: dict[str, Any] = json.loads((state / "ready.json").read_text())
            return ready
    msg = f"the local cloud did not start (exit code {process.wait()})"
    print(msg, file=sys.stderr)
    raise SystemExit(1)
