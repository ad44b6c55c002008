"""A sample of `make faults`: faults at calls of create, scale, delete, compensation, recover and sweep, on a real cloud."""

import secrets
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hostile.__main__ import AT_ONCE, cases, run
from hostile.scenes import ACTS, Clouds

CASES = 12


def test_whatever_the_network_does_nothing_leaks_and_nothing_that_holds_data_is_deleted(
    nova: dict[str, Any], running_full_cloud: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = secrets.randbelow(10**6)
    clouds = Clouds(nova, running_full_cloud)
    everything = cases(clouds, tmp_path, list(ACTS))
    chosen = Random(seed).sample(everything, CASES)
    with capsys.disabled():
        print(f"\nhostile cloud: {CASES} of {len(everything)} cases, seed {seed}")
    breaches = {str(case): result.breaches for case, result in run(clouds, tmp_path / "cases", chosen, AT_ONCE)}
    assert {case: found for case, found in breaches.items() if found} == {}
