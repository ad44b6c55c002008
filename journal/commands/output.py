"""Where commands write what they make: into a file, or to standard output."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from journal.command_line import CommandError
from journal.files import replaced


@contextmanager
def output(path: Path | None) -> Iterator[IO[bytes]]:
    """Yield a file to write, or standard output. A file that cannot be written whole is left as it was.

    Raises CommandError.
    """
    if path is None:
        if sys.stdout is None:
            msg = "standard output is closed; name a file with --output"
            raise CommandError(msg)
        yield sys.stdout.buffer
        return
    try:
        with replaced(path) as file:
            yield file
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror}"
        raise CommandError(msg) from error
