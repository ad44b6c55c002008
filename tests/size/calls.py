"""What one run of a command asked Nova for, and how much that may be."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

import attrs

from journal.settings import Settings
from rollback.marked import MARKS_HOLD_FOR

KINDS: Final[dict[str, Callable[[str], object]]] = {
    "listings begun": lambda call: re.match(r"GET \S+/servers/detail(?!\S*marker=)", call),
    "further pages of them": lambda call: re.match(r"GET \S+/servers/detail\S*marker=", call),
    "GETs of one server": re.compile(r"GET \S+/servers/[0-9a-f-]{36}$").match,
    "DELETEs": re.compile("DELETE ").match,
    "others": re.compile("").match,
}
"""What tells one kind of requests from the kinds after it."""
PER_OBSERVATION: Final = 3
"""How many listings it takes to know what is there: two by tag, and one of everything."""
OF_ONE_THAT_GOES: Final = 1
"""How often a server is asked for that goes in a run: when it is not listed any more."""
OF_ONE_THAT_IS_GONE: Final = 4
"""How often a known server is asked for that was gone before a run began, where listings have several pages.

When the cloud is looked at; when it is judged whether there is anything to do; before its delete; and once Nova says
to the delete that it is not there.
"""
LAST: Final = 5
"""How many servers may be asked for at each poll: the last ones, instead of a listing."""


@attrs.frozen
class Calls:
    """The requests of one run, in order, each as `GET /v2.1/servers/…`, and how they were answered."""

    requests: Sequence[str]
    answers: Counter[int]
    seconds: float
    seconds_deleting: float
    """How long it was from the first delete on."""

    def of(self, kind: str) -> list[str]:
        """Return the requests of one kind."""
        return [request for request in self.requests if next(k for k, is_one in KINDS.items() if is_one(request)) == kind]

    def servers(self, kind: str) -> Counter[str]:
        """Return how often each server was asked for in requests of one kind."""
        return Counter(request.rpartition("/")[2] for request in self.of(kind))

    def breaches(self, servers: int, page: int, gone_before: Collection[str], settings: Settings) -> Iterator[str]:
        """Yield what grew as it must not. `gone_before`: the servers that may have been gone when it began.

        Listings grow with time and pages, deletes with servers; nothing grows with servers times polls.
        """
        listings, pages = len(self.of("listings begun")), len(self.of("further pages of them"))
        polls = self.seconds_deleting / settings.poll_seconds + self.seconds_deleting / MARKS_HOLD_FOR.total_seconds() + 1
        if listings > PER_OBSERVATION + self.answers[400] + polls:
            yield f"{listings} listings were begun, in {self.seconds_deleting:.0f} s of deleting"
        if pages > listings * (servers // page):
            yield f"{listings} listings of {servers} servers had {pages} further pages of {page}"
        yield from (f"server {id_} was deleted {times} times" for id_, times in self.servers("DELETEs").items() if times > 1)
        often = [
            id_
            for id_, times in self.servers("GETs of one server").items()
            if times > (OF_ONE_THAT_IS_GONE if id_ in gone_before else OF_ONE_THAT_GOES)
        ]
        if len(often) > LAST:
            yield f"{len(often)} of {servers} servers were asked for again and again"


def table(runs: dict[str, Calls]) -> str:
    """Return what each run asked for as a Markdown table."""
    lines = [("requests to Nova", *runs), ("---", *("---:" for _ in runs))]
    lines += [(kind, *(str(len(calls.of(kind))) for calls in runs.values())) for kind in KINDS]
    lines += [("all", *(str(len(calls.requests)) for calls in runs.values()))]
    lines += [("seconds", *(f"{calls.seconds:.0f}" for calls in runs.values()))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
