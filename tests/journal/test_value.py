"""Values are compared, hashed and shown as attrs would have it, though attrs does not make the methods."""

from typing import Any

import attrs
import pytest

from journal import events, settings, store
from journal.value import Value


@attrs.frozen(eq=False, repr=False)
class Ours(Value):
    name: str
    number: int = 0
    note: str | None = attrs.field(default=None, eq=False)


@attrs.frozen
class Theirs:
    name: str
    number: int = 0
    note: str | None = attrs.field(default=None, eq=False)


def test_it_is_shown_as_attrs_shows_it() -> None:
    for arguments in (("a",), ("b\n", 2, "c")):
        assert repr(Ours(*arguments)) == repr(Theirs(*arguments)).replace("Theirs", "Ours")


def test_a_class_in_a_function_is_shown_without_where_it_is() -> None:
    @attrs.frozen(eq=False, repr=False)
    class Inner(Value):
        name: str

    assert repr(Inner("a")) == "Inner(name='a')"


def test_two_are_equal_and_hash_alike_if_their_compared_fields_are_equal() -> None:
    assert Ours("a", 1, "seen") == Ours("a", 1)
    assert hash(Ours("a", 1, "seen")) == hash(Ours("a", 1))
    assert Ours("a", 1) != Ours("a", 2)
    assert Ours("a", 1) != Ours("b", 1)
    assert len({Ours("a", 1), Ours("a", 1), Ours("a", 2)}) == 2


def test_one_of_another_class_is_never_equal() -> None:
    class Heir(Ours):
        pass

    assert Ours("a") != Theirs("a")
    assert Ours("a") != Heir("a")
    assert Heir("a") == Heir("a")
    assert Ours("a").__eq__("a") is NotImplemented


def classes(module: Any) -> list[type]:
    return [found for found in vars(module).values() if isinstance(found, type) and found.__module__ == module.__name__]


@pytest.mark.parametrize("module", [events, store, settings])
def test_each_value_of_the_library_leaves_these_methods_to_it(module: Any) -> None:
    values = [kind for kind in classes(module) if attrs.has(kind)]
    assert values
    for kind in values:
        assert issubclass(kind, Value)
        assert not {"__eq__", "__hash__", "__repr__"} & vars(kind).keys()
