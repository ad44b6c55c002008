"""Every fault at every call of create, scale, delete, compensation, recover and sweep, on a real cloud: `make faults`.

The calls are those of a recorded run, to Nova, Neutron and Cinder. After each, faults stop, everything settles, and an
oracle looks into the services' own databases. Ends with 1 on any breach.
"""

import argparse
import logging
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from random import Random
from typing import Final

import attrs
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from examples.cloud import local_cloud
from hostile.proxy import Fault, Kind, suitable
from hostile.scenes import ACTS, Clouds, Result, play

AT_ONCE: Final = 12
"""How many cases are played at the same time: most of the time of each is waiting."""
MOST_OF_A_CALL: Final = 2
"""How many of the same call of an act are tried under each fault.

Of a poll, of calls that are not about servers, and of answers that only differ in their code, one.
"""


@attrs.frozen
class Case:
    """One fault at one call of one act."""

    act: str
    at: int
    call: str
    fault: Fault


def cases(clouds: Clouds, folder: Path, acts: Sequence[str]) -> list[Case]:
    """Record each act once, and return every fault at every call of it."""
    for name, nova in (("small", clouds.small), ("full", clouds.full)):
        play("create", nova, folder / name, f"warm-{name}")
    found = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        records = pool.map(
            lambda act: play(act, clouds.of(act), folder / f"{act}-recorded", f"{act.replace(' ', '-')}-recorded"), acts
        )
    for act, recorded in zip(acts, records, strict=True):
        assert not recorded.breaches, f"{act} without a fault: {recorded.breaches}"
        seen: Counter[str] = Counter()
        for at, call, fault in suitable(list(recorded.calls)):
            seen[f"{call} {fault}"] += 1
            if act.endswith("all kinds") and "/servers" in call:
                continue  # tried in the other acts
            is_once = "/servers" not in call or call.startswith("GET /v2.1/servers/ID") or fault.kind is Kind.ANSWERED
            if seen[f"{call} {fault}"] <= (1 if is_once else MOST_OF_A_CALL):
                found.append(Case(act, at, call, fault))
    return found


def played(clouds: Clouds, folder: Path, number: int, case: Case) -> Result:
    """Play one case."""
    name = f"{case.act.replace(' ', '-')}-{number}"
    try:
        return play(case.act, clouds.of(case.act), folder / name, name, case.fault, case.at)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is a breach of this case)
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Result((), 0, (f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})",), "")


def run(clouds: Clouds, folder: Path, chosen: Sequence[Case], at_once: int) -> list[tuple[Case, Result]]:
    """Play cases, several at once, under a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    done: list[tuple[Case, Result]] = []
    with Progress(*columns, disable=not sys.stderr.isatty()) as bar, ThreadPoolExecutor(at_once) as pool:
        running = {pool.submit(played, clouds, folder, number, case): case for number, case in enumerate(chosen)}
        for future in bar.track(as_completed(running), total=len(running), description="faults"):
            case, result = running[future], future.result()
            done.append((case, result))
            if result.breaches:
                print(
                    f"BREACH {case.act}, {case.call} (request {case.at}), {case.fault}: {'; '.join(result.breaches)}", flush=True
                )
    return done


def matrix(done: Sequence[tuple[Case, Result]]) -> str:
    """Return what came of each case, as a Markdown table: fault, call, rounds, result."""
    lines = ["| act | call | fault | rounds | result |", "|---|---|---|---|---|"]
    for case, result in sorted(done, key=lambda item: (item[0].act, item[0].at, str(item[0].fault))):
        said = "; ".join(result.breaches) or "holds"
        lines.append(f"| {case.act} | {case.at}: `{case.call}` | {case.fault} | {result.rounds} | {said} |")
    return "\n".join(lines)


def main() -> int:
    """Play the matrix, or a sample of it."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--act", choices=ACTS, action="append", help="only this one (can be repeated)")
    parser.add_argument("--sample", type=int, help="so many cases at random, instead of all")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--out", type=Path, help="write the matrix into this file")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="provjournal-faults-") as name,
        local_cloud(Path(name) / "small") as small,
        local_cloud(Path(name) / "full", "--full") as full,
    ):
        clouds = Clouds(small, full)
        folder = Path(name) / "journals"
        chosen = cases(clouds, folder, args.act or list(ACTS))
        Random(args.seed).shuffle(chosen)  # both clouds are kept at work
        chosen = chosen[: args.sample]
        print(f"{len(chosen)} cases, seed {args.seed}", flush=True)
        done = run(clouds, folder, chosen, args.at_once)
    breached = sum(bool(result.breaches) for _, result in done)
    rounds = Counter(result.rounds for _, result in done)
    told = ", ".join(f"{count} in {number}" for number, count in sorted(rounds.items()))
    summary = f"{len(done)} cases in {time.monotonic() - began:.0f} s: {breached} breaches; rounds until nothing was left: {told}"
    print(matrix(done) if args.out is None else summary)
    if args.out is not None:
        args.out.write_text(f"{summary}\n\n{matrix(done)}\n")
    return 1 if breached else 0


if __name__ == "__main__":
    sys.exit(main())
