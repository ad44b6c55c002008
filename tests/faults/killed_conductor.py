"""Run the example conductor, and die by SIGKILL at one call of a port.

    killed_conductor.py JOURNAL_URL OPERATION CLUSTER POINT SERVER_JSON

Without a point (`none`) it prints the points that there are, as JSON.
"""

import json
import os
import signal
import sys
from pathlib import Path

from crashing import CLOUD_CALLS, STORE_CALLS, Crashing, CrashPoints
from faults_settings import SETTINGS

from examples.conductor import Conductor, Plugin
from journal import Journal
from rollback import OpenStackCloud


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
    conductor = Conductor(journal, cloud, plugin, Path(url.removeprefix("sqlite:///")).parent, **json.loads(server))
    if operation == "create":
        conductor.create(cluster, 2)
    else:
        conductor.scale(cluster, 1, [operation])
    print(json.dumps(points.seen))


main()
