"""What MariaDB's few statements must not do: be more than the server takes, or lock what is not theirs."""

from collections.abc import Callable
from contextlib import closing

import pytest
from contracts.store import begin, follow

from journal.events import HoldPlaced
from journal.sql.store import open_store


@pytest.fixture
def url(new_database: Callable[[str], list[str]]) -> str:
    return new_database("mariadb")[0]


def test_an_append_may_be_longer_than_what_the_server_takes_at_once(url: str) -> None:
    with closing(open_store(url, upgrade=True)) as store:
        many = [HoldPlaced("ops", "x" * 100_000) for _ in range(180)]  # 18 MB; a server takes 16 unless it is told otherwise
        assert len(follow(store, begin(store), *many)) == 180
