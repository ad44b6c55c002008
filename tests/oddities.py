"""Values that readers stumble over, and golden histories with a line changed."""

from copy import deepcopy
from typing import Any

from histories import documents
from hypothesis import strategies as st

PLANS = dict(documents("plans"))
CHARACTERS = st.characters(exclude_categories=["Cs"])
ODD = [
    *("", "0", "c-1", "id-w1", "a1", "create", "scale", "sweep", "infrastructure", "rollback", "succeeded", "Deleted", "gone"),
    *("2026-11-23T10:00:00Z", "2026-11-23t10:00:00z", "2026-11-23 10:00:00+00:00", "2026-11-23T10:00:00", "2026-11-23"),
    *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "2016-12-31T23:59:60Z"),
    *("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59-01:00"),
    *("2026-11-23T10:00:00+23:59", "2026-11-23T10:00:00-00:00", "2026-11-23T24:00:00Z"),
    *("00000000-0000-0000-0000-000000000000", "00000000000000000000000000000000", "2E5159A1-E593-53BD-A4A1-0B8B51D0978C"),
    *("{2e5159a1-e593-53bd-a4a1-0b8b51d0978c}", "urn:uuid:2e5159a1-e593-53bd-a4a1-0b8b51d0978c", "\x00", "\ufeff", "😀" * 256),
    *(0, -1, 1, 2, 2**31, 2**53, 2**53 + 1, 2**63, 2**64, 10**40, 1.0, 0.0, -0.0, 1e300, True, False, None),
    *([], {}, [[]], [{}], [None], {"": None}, {"a": [0.5]}, [1, "1"]),
]
"""Values that readers stumble over."""

JSON = st.recursive(
    st.sampled_from(ODD)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(CHARACTERS, max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(CHARACTERS, max_size=8), inner, max_size=3),
    max_leaves=8,
)
HOSTILE = [
    *(b"", b"\n", b"\xef\xbb\xbf{}", b"\xff", b"{", b"}", b"nul", b"NaN", b"-", b"1e999", b"'", b'"\\ud800"', b'{"a":1,"a":2}'),
    *(b"[" * depth + b"]" * depth for depth in (100, 500, 900, 995, 1000, 100_000)),
    *(b'{"a":' * depth + b"1" + b"}" * depth for depth in (100, 500, 900, 995, 1000, 100_000)),
    b"9" * 5000,
    b'"' + b"x" * 1_000_000 + b'"',
]


def paths(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document but the document itself; what was asked for is anybody's form."""
    match value:
        case dict():
            inner = value.items()
        case list():
            inner = enumerate(value)
        case _:
            return []
    below = [(*path, key) for key, _ in inner]
    return below + [deeper for place in below if place[-1] != "request" for deeper in paths(value[place[-1]], place)]


def at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, int, dict[str, Any]]:
    """A golden history with one line changed, and that line."""
    name = draw(st.sampled_from(sorted(PLANS)))
    index = draw(st.integers(0, len(PLANS[name]) - 1))
    document = deepcopy(PLANS[name][index])
    for _ in range(draw(st.integers(1, 2))):
        places = paths(document)
        if not places:
            break
        place = draw(st.sampled_from(places))
        parent = at(document, place[:-1])
        change = draw(st.integers(0, 3))
        if change == 0:
            del parent[place[-1]]
        else:
            parent[place[-1]] = deepcopy(draw(JSON if change == 1 else st.sampled_from(ODD)))
    return name, index, document
