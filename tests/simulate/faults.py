"""What can go wrong in a simulated world, by the words under which it is counted, and how likely each is in one schedule."""

from collections.abc import Sequence
from typing import Final

from simulate.choices import Choices, Weights

# at the calls of ports
SWITCH: Final = "another process goes on"
CRASH_BEFORE: Final = "crash before a call"
CRASH_AFTER: Final = "crash after a call"
STOP: Final = "a process stands still for seconds"
STOP_LONG: Final = "a process stands still past its lease"
SLOW: Final = "a slow answer"
STORE_AWAY: Final = "database away"
UNKNOWN_NOT_RECORDED: Final = "append of unknown outcome: not recorded"
UNKNOWN_RECORDED: Final = "append of unknown outcome: recorded"
NO_REQUEST: Final = "request lost"
NO_ANSWER: Final = "answer lost"
REFUSED: Final = "request refused"
REFUSED_DONE: Final = "request refused, yet carried out"
LATE: Final = "POST lands late"
TOO_LATE: Final = "POST lands after its deadline"
TWICE: Final = "POST repeated"
PAGE_LOST: Final = "a listing misses a server"

AT_ANY_CALL: Final = (SWITCH, CRASH_BEFORE, CRASH_AFTER, STOP, STOP_LONG, SLOW)
AT_STORE: Final = (*AT_ANY_CALL, STORE_AWAY)
AT_APPEND: Final = (*AT_STORE, UNKNOWN_NOT_RECORDED, UNKNOWN_RECORDED)
AT_CLOUD: Final = (*AT_ANY_CALL, NO_REQUEST, NO_ANSWER, REFUSED)
AT_CREATE: Final = (*AT_CLOUD, REFUSED_DONE, LATE, TOO_LATE, TWICE)
AT_LISTING: Final = (*AT_ANY_CALL, NO_REQUEST, NO_ANSWER, PAGE_LOST)

# in the cloud, from some moment on
CELL_DOWN: Final = "a cell is down"
LAG: Final = "listings lag"
SOFT_DELETE: Final = "deletes are soft"
SLOW_DELETE: Final = "deletes take minutes"
DELETE_TO_ERROR: Final = "a delete ends in ERROR"
IGNORED_DELETE: Final = "a delete is accepted and ignored"
LOCKED: Final = "a server is locked"
SLOW_BUILD: Final = "servers build slowly"
ENDLESS_BUILD: Final = "servers build for ever"
BOOT_TO_ERROR: Final = "a server boots to ERROR"
SKEW: Final = "the cloud's clock is off"
PAGES: Final = "listings of several pages hide cells that are down"
RESTORED: Final = "a soft-deleted server is restored"

# by people
DELETION: Final = "the user deletes the cluster"
RECORD_GONE: Final = "the cluster's record is gone"
RECORD_AWAY: Final = "the cluster's record cannot be reached"
MARKS_REMOVED: Final = "marks removed"
MARKS_REPLACED: Final = "marks replaced by another cluster's"
COPY: Final = "a copy with the marks"
WORD: Final = "an operator's word"
GONE: Final = "an operator says gone"
HOLD: Final = "a hold"
ABANDON: Final = "an operation abandoned"
PLUGIN: Final = "the plugin fails"

# by other processes
RECOVER: Final = "recover meanwhile"
RESUME: Final = "resumed by another process"
SWEEP: Final = "a sweep meanwhile"
SECOND: Final = "a second conductor"
TAKEN_OVER: Final = "a living conductor lost its lease"

IN_CLOUD: Final = (
    *(CELL_DOWN, LAG, SOFT_DELETE, SLOW_DELETE, DELETE_TO_ERROR, IGNORED_DELETE, LOCKED, SLOW_BUILD, ENDLESS_BUILD),
    *(BOOT_TO_ERROR, SKEW, PAGES, RESTORED),
)
BY_PEOPLE: Final = (
    *(DELETION, RECORD_GONE, RECORD_AWAY, MARKS_REMOVED, MARKS_REPLACED, COPY, WORD, GONE, HOLD, ABANDON, PLUGIN),
)
BY_OTHERS: Final = (RECOVER, RESUME, SWEEP, SECOND)
CALLS: Final = (AT_STORE, AT_APPEND, AT_CLOUD, AT_CREATE, AT_LISTING)
"""What can go wrong at each kind of call."""
OF_CREATES: Final = tuple(fault for fault in AT_CREATE if fault not in AT_CLOUD)
OF_CALLS: Final = tuple(dict.fromkeys(fault for kinds in CALLS for fault in kinds if fault not in OF_CREATES))

RATES: Final = (0.0, 0.0, 0.005, 0.03)
"""How likely a fault is at one call; drawn for each kind and schedule: a schedule has few kinds, and some of them often."""
CREATE_RATES: Final = (0.0, 0.0, 0.0, 0.2)
"""The same for what happens to requests that create: there are few of them."""
SWITCH_RATES: Final = (0.0, 0.1, 0.5)

COUNTED: Final = (
    *(fault for fault in (*OF_CALLS, *OF_CREATES) if fault is not SWITCH),
    *IN_CLOUD,
    *BY_PEOPLE,
    *BY_OTHERS,
    TAKEN_OVER,
)
"""Every kind of fault that is counted."""


class Rates:
    """How likely each fault is at the calls of one schedule."""

    def __init__(self, choices: Choices) -> None:
        rates = {fault: choices.one_of(RATES) for fault in OF_CALLS}
        rates |= {fault: choices.one_of(CREATE_RATES) for fault in OF_CREATES}
        rates[SWITCH] = choices.one_of(SWITCH_RATES)
        self._weights = {kinds: Weights([rates[kind] for kind in kinds]) for kinds in CALLS}

    def draw(self, choices: Choices, kinds: Sequence[str]) -> str | None:
        """Return the fault that happens at a call, if one does."""
        index = choices.weighted(self._weights[tuple(kinds)])
        return kinds[index - 1] if index else None
