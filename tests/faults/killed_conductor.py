"""Run the example conductor, and die by SIGKILL at one call of a port.

    killed_conductor.py JOURNAL_URL OPERATION CLUSTER POINT SERVER_JSON

Without a point (`none`) it prints the points that there are, as JSON.
"""

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

from crashing import CLOUD_CALLS, STORE_CALLS, Crashing, CrashPoints
from faults_settings import SETTINGS

from examples.conductor import Conductor
from examples.plugin import Plugin
from examples.records import Record
from journal import Journal
from rollback import Handler, OpenStackCloud


def main() -> None:
    """Run one operation."""
    url, operation, cluster, point, server = sys.argv[1:]
    points = CrashPoints(None if point == "none" else int(point), die=lambda: os.kill(os.getpid(), signal.SIGKILL))
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
