"""A thousand servers of one cluster on a real Nova, rolled back: `make size`.

Listings come in pages, the server that marks where a page begins vanishes, and the command is interrupted in the middle.
Prints what Nova was asked for, and ends with 1 if that, or anything that is left, is not as it must be.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

from examples.cloud import local_cloud
from rollback.commands.options import shown
from size.rollback import play

HOSTS = 8


def main() -> int:
    """Create, roll back and count."""
    parser = argparse.ArgumentParser(prog="make size", description=__doc__)
    parser.add_argument("--servers", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--page", type=int, default=100, help="how many servers a page of a listing holds (default: %(default)s)")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="provjournal-size-") as name,
        local_cloud(Path(name) / "cloud", "--hosts", str(HOSTS)) as nova,
        shown() as progress,
    ):
        os.environ["OS_CLIENT_CONFIG_FILE"] = nova["clouds_yaml"]
        result = play(nova, Path(name), args.servers, args.page, progress)
    print(
        f"{args.servers} servers, pages of {args.page}, {time.monotonic() - began:.0f} s in all, {len(result.breaches)} breaches"
    )
    print(result)
    return 1 if result.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
