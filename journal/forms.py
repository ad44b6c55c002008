"""Strict forms of the catalogue's classes: what reads JSON into them in one pass, and takes only what is certainly right.

msgspec reads attrs classes, but ignores unknown fields of theirs, and does not tell a field that was left out from one that
was written with its default. So each class has a form: a `msgspec.Struct` with the same fields, which forbids both. What
a form refuses need not be wrong: `codec` reads it again with care, field by field, and says what is wrong with it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import takewhile
from types import NoneType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import attrs
import msgspec
from msgspec.structs import asdict, astuple

Make = Callable[[Any], Any]
"""Makes an instance of a class of the catalogue from its form."""

_TAG: Final = "action"
"""The field that tells several classes apart."""


class Reader:
    """Reads the data of one type of event. Safe to use from many threads."""

    def __init__(self, forms: Mapping[str | None, tuple[type[Any], Make]]) -> None:
        """Read one of these forms, each with its tag; or the only one, without any."""
        self._form_of = {tag: form for tag, (form, _) in forms.items()}
        self._make: Mapping[type[Any], Make] = dict(forms.values())
        self._decode = msgspec.json.Decoder(Union[tuple(self._make)]).decode  # noqa: UP007 (of what is known only here)

    def of_text(self, text: str) -> Any:
        """Return what a JSON text stands for. Raises msgspec.DecodeError or RecursionError if that is not certain."""
        form = self._decode(text)
        return self._make[type(form)](form)

    def of_values(self, values: Mapping[str, Any]) -> Any:
        """Return what plain JSON values stand for. Raises msgspec.ValidationError or RecursionError if that is not certain."""
        tag = values.get(_TAG)
        form = self._form_of.get(tag) if isinstance(tag, str | None) else None
        if form is None:
            raise msgspec.ValidationError
        return self._make[form](msgspec.convert(values, form))


def only(cls: type[Any]) -> Reader:
    """Return what reads a class that stands alone."""
    return Reader({None: _form(cls)})


def tagged(classes: Iterable[tuple[str, type[Any], Mapping[str, object]]]) -> Reader:
    """Return what reads one of several classes, each by its tag, and with the fields that the tag implies."""
    return Reader({tag: _form(cls, tag, implied) for tag, cls, implied in classes})


def _form(cls: type[Any], tag: str | None = None, implied: Mapping[str, object] | None = None) -> tuple[type[Any], Make]:
    """Return the form of a class, and what makes an instance from it."""
    known = implied or {}
    fields = [field for field in _readable(cls) if field.name not in known]
    rows = {index: _form(row) for index, field in enumerate(fields) if (row := row_class(field.type)) is not None}
    form = msgspec.defstruct(
        cls.__name__,
        [_field(field, rows[index][0] if index in rows else None) for index, field in enumerate(fields)],
        tag_field=None if tag is None else _TAG,
        tag=tag,
        forbid_unknown_fields=True,
        gc=False,  # it lives only until the instance is made
    )
    if known:
        return form, lambda read: cls(**asdict(read), **known)
    if rows:
        return form, _with_rows(cls, {index: make for index, (_, make) in rows.items()})
    return form, lambda read: cls(*astuple(read))


def _readable(cls: type[Any]) -> Iterator[Any]:
    """Return the fields of a class up to the first one of which no type can say that its default is not written.

    The ones after it are unknown to the form, so that whatever has one is read with care.
    """
    return takewhile(lambda field: field.default in (attrs.NOTHING, None, ()), attrs.fields(attrs.resolve_types(cls)))


def _field(field: Any, row: type[Any] | None) -> Any:
    """Return a field of a form: one that can be left out has a type without its default."""
    annotation = field.type if row is None else tuple[row, ...]  # type: ignore[valid-type]
    if field.default is attrs.NOTHING:
        return field.name, annotation
    if field.default is None:
        return field.name, Union[tuple(arg for arg in get_args(annotation) if arg is not NoneType)], None  # noqa: UP007
    return field.name, Annotated[annotation, msgspec.Meta(min_length=1)], ()


def _with_rows(cls: type[Any], makers: Mapping[int, Make]) -> Make:
    def make(read: Any) -> Any:
        values = list(astuple(read))
        for index, make_row in makers.items():
            values[index] = tuple(map(make_row, values[index]))
        return cls(*values)

    return make


def row_class(annotation: object) -> type[Any] | None:
    """Return the class of the rows of a field, if it holds such."""
    row = get_args(annotation)[0] if get_origin(annotation) is tuple else None
    return row if isinstance(row, type) and attrs.has(row) else None
