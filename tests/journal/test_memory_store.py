"""The reference store keeps the contract."""

import pytest
from contracts.store import StoreContract

from journal.memory import MemoryStore


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()
