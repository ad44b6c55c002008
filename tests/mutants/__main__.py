"""Change the modules that decide, one small thing at a time, and see a test fail each time: python -m mutants.

Ends with 1 if a change was survived that `explained.toml` does not explain, or if it explains one that is not survived.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Self

import attrs

from mutants.prepared import prepared

ROOT: Final = Path(__file__).parent.parent.parent
EXPLAINED: Final = Path(__file__).parent / "explained.toml"
KILLED: Final = frozenset({"killed", "timeout", "suspicious", "segfault"})
NAME: Final = re.compile(r"(?P<module>[\w.]+?)\.x(?:ǁ(?P<cls>\w+?)ǁ|_)(?:get_)?(?P<function>\w+?)__mutmut_\d+")


@attrs.frozen
class Mutant:
    """One change: `was` became `becomes` in a function."""

    function: str
    was: str
    becomes: str

    @classmethod
    def of_diff(cls, name: str, diff: str) -> Self:
        """Return what a diff shows."""
        match = NAME.fullmatch(name)
        assert match is not None, name
        function = ".".join(filter(None, match.groups()))
        lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++", "@@", "#"))]
        was, becomes = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
        return cls(function, was, becomes)


def explained() -> dict[Mutant, str]:
    """Return the changes that no test can or should find, with the reason."""
    rows = tomllib.loads(EXPLAINED.read_text())["mutant"]
    return {Mutant(row["function"], row["was"], row["becomes"]): row["why"] for row in rows}


def settings() -> dict[str, list[str]]:
    """Return what pyproject.toml says to the tool."""
    found: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    return found


def mutmut(folder: Path, *arguments: str) -> str:
    """Return what the tool says."""
    done = subprocess.run([sys.executable, "-m", "mutmut", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def results(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each mutant with what became of it."""
    for line in mutmut(folder, "results", "--all", "true").splitlines():
        name, _, status = line.strip().rpartition(": ")
        yield name, status


def told(mutants: Iterable[Mutant]) -> str:
    """Return mutants as they stand in `explained.toml`, to be explained."""
    rows = (f"[[mutant]]\nfunction = {m.function!r}\nwas = '''{m.was}'''\nbecomes = '''{m.becomes}'''\n" for m in mutants)
    return "\n".join(rows)


def main() -> int:
    """Run the tool over a prepared copy of the tree, and compare what survives with what is explained."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", metavar="PATTERN", nargs="*", default=[], help="only those that match: `projections.cases*`")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="keep the mutants in this folder, to look at them with `mutmut show`")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="provjournal-mutants-") as name:
        folder = args.keep or Path(name)
        prepared(ROOT, folder, settings()["only_mutate"])
        run = [sys.executable, "-m", "mutmut", "run", "--max-children", str(args.at_once), *args.only]
        subprocess.run(run, cwd=folder, check=True)
        found = [(name, status) for name, status in results(folder) if status != "not checked"]
        survivors = {Mutant.of_diff(name, mutmut(folder, "show", name)) for name, status in found if status not in KILLED}
    why = explained()
    surprising, in_vain = survivors - why.keys(), [] if args.only else why.keys() - survivors
    if surprising:
        print(f"No test finds these:\n\n{told(sorted(surprising, key=str))}")
    if in_vain:
        print(f"Explained, and yet found, or gone:\n\n{told(sorted(in_vain, key=str))}")
    counts = Counter(status for _, status in found)
    print(f"{len(found)} mutants: {', '.join(f'{count} {status}' for status, count in counts.most_common())}")
    return 1 if surprising or in_vain else 0


if __name__ == "__main__":
    sys.exit(main())
