"""Run the example conductor, and die by SIGKILL, or stop by SIGSTOP, at one call of a port.

    killed_conductor.py JOURNAL_URL OPERATION CLUSTER POINT SERVER_JSON [SIGSTOP]

Without a point (`none`) it prints the points that there are, as JSON.
"""

import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from faults_settings import SETTINGS

from examples.conductor import Conductor
from examples.plugin import Plugin
from examples.records import Record
from journal import Journal
from rollback import Handler, OpenStackCloud
from rollback.testing.crashing import CLOUD_CALLS, STORE_CALLS, Crashing, CrashPoints


def stand_still() -> None:
    """Stop this process. Its other threads stop at once, but this one may run on for a moment: it waits for that."""
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.2)


def main() -> None:
    """Run one operation."""
    url, operation, cluster, point, server, *stop = sys.argv[1:]
    at = None if point == "none" else int(point)
    points = CrashPoints(at, pause=stand_still) if stop else CrashPoints(at, die=lambda: os.kill(os.getpid(), signal.SIGKILL))
    real = OpenStackCloud.connect("demo", SETTINGS)
    journal = Journal.open(url, upgrade=True, settings=SETTINGS)
    journal.store = Crashing(journal.store, points, STORE_CALLS)
    plugin = Plugin(real.connection)
    plugin.compute = Crashing(real.connection.compute, points, frozenset({"set_server_metadata"}))
    cloud = Crashing(real, points, CLOUD_CALLS)
    handler = Handler(journal, cloud, partial(Record, Path(url.removeprefix("sqlite:///")).parent))
    Record(Path(url.removeprefix("sqlite:///")).parent, cluster).set_status("running")
    conductor = Conductor(handler, cloud, plugin, at_once=1, **json.loads(server))
    if operation == "create":
        conductor.create(cluster, {"worker": 2})
    else:
        conductor.scale(cluster, {"worker": 1}, [operation])
    print(json.dumps(points.seen))


main()
