"""What a person or a test reads on standard output; everything else that this process prints goes to a log file."""

import os
import sys
import time
from pathlib import Path


class Progress:
    """Short lines with the time since the start."""

    def __init__(self) -> None:
        """Start the clock."""
        self.start = time.monotonic()
        self.output = sys.stdout

    def divert(self, log: Path) -> None:
        """Keep standard output for ourselves: nova's libraries print warnings to both of its streams."""
        self.output = os.fdopen(os.dup(1), "w")
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)

    def say(self, text: str) -> None:
        """Report one step."""
        self.line(f"[{time.monotonic() - self.start:5.1f}s] {text}")

    def line(self, text: str) -> None:
        """Print a line at once; a reader that is gone already must not stop the cloud from stopping."""
        try:
            print(text, file=self.output, flush=True)
        except OSError:
            self.output = Path(os.devnull).open("w")  # noqa: SIM115 (for the rest of this process)
