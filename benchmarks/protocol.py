"""How the harness and the programs of all contestants talk: a job is asked for, got ready, let go, and answered.

Each is one line of JSON. A program answers `{"cannot": true}` for a job that it does not have. Peers run this in
environments of their own, so it needs the standard library alone.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

WARM_UP: Final = 20
"""How often each thread does what is measured before the clock runs."""
READY_SECONDS: Final = 3600.0
"""How long getting ready may take."""

Run = Callable[[], Mapping[str, Any]]
"""What is let go once a job is ready. Returns its answer."""
Job = Callable[..., Run]
"""Gets a job ready, as the fields of the request say. Raises Cannot."""
Turn = Callable[[], int]
"""Does what is measured once, and returns how many things that were."""


class Cannot(Exception):
    """The contestant has nothing of the kind."""


def serve(jobs: Mapping[str, Job]) -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer

    def say(answer: Mapping[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        try:
            run = jobs[request.pop("run")](**request)
        except (Cannot, KeyError):
            say({"cannot": True})
            continue
        say({"ready": True})
        sys.stdin.readline()
        say(run())


def once(do: Callable[[], object]) -> Run:
    """Return what does something that is not measured."""

    def run() -> Mapping[str, Any]:
        do()
        return {}

    return run


def counted(
    make: Callable[[], Turn],
    seconds: float,
    *,
    threads: int = 1,
    warm_up: int = WARM_UP,
    within: Callable[[Callable[[], Any]], Any] = lambda work: work(),
    settings: Callable[[], object] = lambda: None,
) -> Run:
    """Have threads get ready, each with a turn of its own, and return what counts what they do in so many seconds.

    `within` runs what a thread does, for whoever does it in a place of its own. `settings`: what the contestant's own
    connections say of durability.
    """
    gate = threading.Barrier(threads + 1)

    def work() -> tuple[int, float, int]:
        try:
            turn = make()
            before = sum(turn() for _ in range(warm_up))
            gate.wait(READY_SECONDS)
        except BaseException:
            gate.abort()
            raise
        gate.wait()
        began, count, passed = time.perf_counter(), 0, 0.0
        while not count or passed < seconds:
            count += turn()
            passed = time.perf_counter() - began
        return count, passed, before

    pool = ThreadPoolExecutor(threads)
    working = [pool.submit(within, work) for _ in range(threads)]
    try:
        gate.wait()
    except threading.BrokenBarrierError:
        for one in working:
            _raise(one.exception())

    def run() -> Mapping[str, Any]:
        gate.wait()
        done = [one.result() for one in working]
        counts, seconds_passed, before = zip(*done, strict=True)
        return {"count": sum(counts), "seconds": max(seconds_passed), "warm_up": sum(before), "settings": settings()}

    return run


def _raise(error: BaseException | None) -> None:
    if error is not None and not isinstance(error, threading.BrokenBarrierError):
        raise error
