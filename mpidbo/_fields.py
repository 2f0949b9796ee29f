"""Typed fields: values of tables and of the command line are checked against annotations.

A field of a dataclass, a key of a TypedDict or a parameter of a function is annotated with its
type, its range and its meaning:

    agents: Annotated[int | None, Range(1, 10**6), Doc("number of agents")] = None

`convert` returns a value as the type of such a hint, or raises a `UserError` with the full name of
the key. It knows bool, int, float, str, Path, Literal, lists, tuples, mappings, TypedDict, and each
of these or None; a value of any other type is returned unchecked.
"""

import inspect
import math
import sys
import typing
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from dataclasses import fields as dataclass_fields
from functools import cache
from numbers import Integral, Rational, Real
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, cast

from .errors import Synonyms, UserError, did_you_mean, known_as, shown

LARGEST_INTEGER = 2**63 - 1
"""The largest whole number of TOML."""
LARGEST_FLOAT = sys.float_info.max
NOUNS: dict[Any, tuple[str, str]] = {
    bool: ("true or false", "true"),
    int: ("a whole number", "8"),
    float: ("a finite number", "0.1"),
    str: ("a string", '"text"'),
    Path: ("the path of a file", '"data/file.npy"'),
}
"""Type -> what messages call it, and an example."""
T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """Bounds of a number, as part of an annotation.

    Parameters
    ----------
    at_least, at_most : float, optional
        Bounds that belong to the range. A bound of infinity admits infinity.
    above, below : float, optional
        Bounds that do not belong to the range.
    """

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        """Whether a number lies within the bounds; it is not NaN."""
        return not (
            (self.at_least is not None and value < self.at_least)
            or (self.at_most is not None and value > self.at_most)
            or (self.above is not None and value <= self.above)
            or (self.below is not None and value >= self.below)
        )

    def __str__(self) -> str:
        """The bounds in words, such as "at least 1 and less than 5"."""
        bounds = {
            "at least": self.at_least,
            "more than": self.above,
            "at most": self.at_most,
            "less than": self.below,
        }
        parts = []
        for words, bound in bounds.items():
            if bound is not None:
                number = str(bound) if isinstance(bound, int) else f"{bound:.2g}"
                parts.append(f"{words} {number}")
        return " and ".join(parts)


@dataclass(frozen=True)
class Form:
    """A test of a value of any type, as part of an annotation; `words` describe what passes."""

    passes: Callable[[Any], bool]
    words: str


@dataclass(frozen=True)
class OneOf:
    """Names of a registry, as part of an annotation.

    Parameters
    ----------
    known : callable
        Returns the names; a registry may grow after the annotation was written.
    noun : str
        What the names stand for, in messages.
    others : bool, default False
        Whether other names pass, too: only a run knows whether they exist.
    """

    known: Callable[[], Iterable[str]]
    noun: str
    others: bool = False


@dataclass(frozen=True)
class Doc:
    """The meaning of a field, as part of an annotation.

    Parameters
    ----------
    text : str
        A line of Markdown.
    default : str, optional
        What the documentation shows as the default, in place of the field's own.
    """

    text: str
    default: str = ""


Count = Annotated[int, Range(1, 10**6)]
"""A number of inner steps and the like, which every iteration repeats."""
Positive = Annotated[float, Range(above=0)]
Nonnegative = Annotated[float, Range(0)]


class Field(NamedTuple):
    """A field of a dataclass, a TypedDict or a function; `default` is MISSING if it has none."""

    hint: Any
    default: Any = MISSING
    doc: Doc = Doc("")


@cache
def fields_of(owner: Any) -> Mapping[str, Field]:
    """Name -> field of a dataclass, a TypedDict or a function."""
    try:
        hints = typing.get_type_hints(owner, include_extras=True)
    except (NameError, TypeError):  # a user's function without types, or with unknown names
        hints = {}
    if not isinstance(owner, type):
        parameters = inspect.signature(owner).parameters.values()
        found = {
            p.name: (hints.get(p.name, Any), MISSING if p.default is p.empty else p.default)
            for p in parameters
        }
    elif typing.is_typeddict(owner):
        found = {name: (hint, MISSING) for name, hint in hints.items()}
    else:
        found = {f.name: (hints.get(f.name, Any), f.default) for f in dataclass_fields(owner)}
    return {name: Field(hint, default, _doc(hint)) for name, (hint, default) in found.items()}


def from_table(cls: type[T], table: Any, where: str) -> T:
    """Make an instance of a dataclass or TypedDict from a table.

    Parameters
    ----------
    cls : type
        A dataclass or TypedDict with annotated fields.
    table : Mapping
        Key -> value; what it leaves out has the default of the field.
    where : str
        Name of the table in messages, such as "run".

    Raises
    ------
    UserError
        The table is not a mapping, has an unknown key, or a value that does not fit its field.
    """
    check_table(table, where)
    fields = fields_of(cast(Hashable, cls))
    values = {}
    for key, value in table.items():
        check_key(key, fields, where)
        values[key] = convert(value, fields[key].hint, f"{where}.{key}", fields[key].default)
    return cls(**values)


def check_table(value: Any, where: str) -> None:
    """Raise UserError unless a value is a table."""
    if not isinstance(value, Mapping):
        raise UserError(
            f"{where}: {shown(value)} is not a table; write [{where}] and its keys below it"
        )


def check_key(key: str, known: Iterable[str], where: str, what: str = "unknown key") -> None:
    """Raise UserError unless a key is one of the known ones."""
    known = list(known)
    if key not in known:
        raise UserError(f"{where}.{key}: {what}; {did_you_mean(key, known)}")


def named(value: Any, known: Iterable[str], where: str, noun: str) -> str:
    """Return the known name that a value means (`known_as`). Raises UserError for none."""
    known = list(known)
    name = known_as(value, known)
    if name is None:
        raise UserError(
            f"{where}: no {noun} is called {shown(value)}; {did_you_mean(value, known)}"
        )
    return name


def convert(value: Any, hint: Any, where: str, default: Any = MISSING, *, remedy: str = "") -> Any:
    """Return a value as the type of a hint.

    Parameters
    ----------
    value : object
        Numbers of numpy count as Python's; a whole number serves as a float, and a list as a tuple.
        A name of `OneOf` or `Literal` is returned as it is known, whatever its case, dashes and
        underscores.
    hint : type
        A type, possibly in `Annotated` with `Range`, `Form` or `OneOf`.
    where : str
        Full name of the key, with which a message begins, such as "run.agents".
    default : object, optional
        An example of a right value, for messages.
    remedy : str, optional
        What a message proposes for a value of the wrong type, in place of an example.

    Raises
    ------
    UserError
        The value has the wrong type, is out of range, or is not one of the known names.
    """
    kind, optional, marks = _parsed(hint)
    if value is None and optional:
        return None
    for mark in marks:
        if isinstance(mark, OneOf) and mark.others:
            value = known_as(value, mark.known()) or value
        elif isinstance(mark, OneOf):
            value = named(value, mark.known(), where, mark.noun)
        elif isinstance(mark, Form) and not mark.passes(value):
            raise UserError(f"{where}: {shown(value)} does not fit; give {mark.words}")
    origin = typing.get_origin(kind) or kind
    if origin is Literal:
        return _choice(value, typing.get_args(kind), where, marks)
    if origin in (list, tuple):
        return _items(value, kind, where, default)
    if typing.is_typeddict(kind):
        return from_table(kind, value, where)
    if origin is Mapping:
        check_table(value, where)
    if kind in NOUNS:
        remedy = remedy or f"give one, such as {_example(default, NOUNS[kind][1])}"
        ranges = [mark for mark in marks if isinstance(mark, Range)]
        return _scalar(value, kind, ranges, where, remedy)
    return value


def canonical(value: Any, hint: Any) -> Any:
    """Return a string as a hint's `Literal` or `OneOf` has it; anything else unchanged."""
    kind, _, marks = _parsed(hint)
    known = list(typing.get_args(kind)) if typing.get_origin(kind) is Literal else []
    known += [name for mark in marks if isinstance(mark, OneOf) for name in mark.known()]
    return known_as(value, known) or value


def _scalar(value: Any, kind: Any, ranges: list[Range], where: str, remedy: str) -> Any:
    """A bool, int, float, string or path within the ranges."""
    infinite = any(bounds.at_most == math.inf for bounds in ranges)
    if not _is_a(kind, value, infinite):
        noun = "a number" if kind is float and infinite else NOUNS[kind][0]
        raise UserError(f"{where}: {shown(value)} is not {noun}; {remedy}")
    if kind not in (int, float):
        return value
    # A number of numpy warns where its type cannot hold the bound that it is compared with.
    number = int(value) if is_whole(value) else float(value)
    for bounds in ranges:
        if number not in bounds:
            raise UserError(f"{where}: {shown(value)} is out of range; give {bounds}")
    if isinstance(number, int) and abs(number) > LARGEST_INTEGER:
        other = ", or one with a point, such as 1e20" if kind is float else ""
        limit = f"give a whole number of at most 64 bits{other}"
        raise UserError(f"{where}: {shown(value)} is out of range; {limit}")
    return kind(number)


def _is_a(kind: Any, value: Any, infinite: bool) -> bool:
    """Whether a value has a scalar type; `infinite` admits infinity as a float."""
    if kind is Path:
        return isinstance(value, str | PurePath)
    if kind in (bool, str):
        return isinstance(value, kind)
    # A whole number of any size passes as a float here: float() of a large one would overflow.
    if kind is int or is_whole(value):
        return is_whole(value)
    if isinstance(value, bool):
        return False
    # floats of numpy are Real; so is a fraction, which no configuration holds
    if not isinstance(value, Real) or isinstance(value, Rational):
        return False
    size = abs(float(value))  # NaN compares false
    return size <= LARGEST_FLOAT or (infinite and size == math.inf)


def _choice(value: Any, known: Sequence[str], where: str, marks: Iterable[Any]) -> str:
    """One of the strings of a Literal."""
    name = known_as(value, known)
    if name is None:
        synonyms = next((mark for mark in marks if isinstance(mark, Synonyms)), None)
        # also classes and types, such as numpy.float32
        word = getattr(value, "__name__", getattr(value, "name", shown(value).strip('"')))
        remedy = did_you_mean(word, known, synonyms)
        raise UserError(f"{where}: {shown(value)} is none of {', '.join(known)}; {remedy}")
    return name


def _items(value: Any, kind: Any, where: str, default: Any) -> Any:
    """The entries of a list, or of a tuple of any length, all of one type."""
    if not is_list(value):
        raise UserError(
            f"{where}: {shown(value)} is not a list; give one, such as {_example(default, '[]')}"
        )
    hint, make = typing.get_args(kind)[0], typing.get_origin(kind) or list
    return make(convert(item, hint, where) for item in value)


def _example(default: Any, other: str) -> str:
    """A right value: the default of the field, if it has one."""
    return other if default is MISSING or default is None else f"its default, {shown(default)}"


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number of Python or numpy; a bool is not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_list(value: Any) -> bool:
    """Whether a value is a list or a tuple."""
    return isinstance(value, list | tuple)


def is_table(value: Any) -> bool:
    """Whether a value is a table."""
    return isinstance(value, Mapping)


def describe(hint: Any) -> str:
    """What a value of a hint is, in words, such as "a number, at least 0 and at most 1"."""
    kind, _, marks = _parsed(hint)
    for mark in marks:
        if isinstance(mark, Form):
            return mark.words
        if isinstance(mark, OneOf) and not mark.others:
            return f"one of {', '.join(mark.known())}"
    if typing.get_origin(kind) is Literal:
        values = [shown(value) for value in typing.get_args(kind)]
        return " or ".join(filter(None, [", ".join(values[:-1]), values[-1]]))
    if typing.get_origin(kind) in (list, tuple):
        return f"a list, each {describe(typing.get_args(kind)[0])}"
    if typing.get_origin(kind) in (Union, UnionType):
        parts = [part for part in typing.get_args(kind) if part is not NoneType]
        return " or ".join(describe(part) for part in parts)
    if typing.is_typeddict(kind) or typing.get_origin(kind) is Mapping:
        return "a table"
    noun = "a number" if kind is float else NOUNS.get(kind, ("any value", ""))[0]
    ranges = [str(mark) for mark in marks if isinstance(mark, Range)]
    return ", ".join([noun, *ranges])


class _Parsed(NamedTuple):
    """A hint taken apart: its type, whether it may be None, and the marks of all `Annotated`."""

    kind: Any
    optional: bool
    marks: tuple[Any, ...]


def _parsed(hint: Any) -> _Parsed:
    """Take a hint apart; a union of several types is a type of its own, which is not checked."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        kind, optional, marks = _parsed(parts[0])
        return _Parsed(kind, optional, (*parts[1:], *marks))
    if origin in (typing.Required, typing.NotRequired):
        return _parsed(parts[0])
    if origin in (Union, UnionType):
        others = [part for part in parts if part is not NoneType]
        if len(others) > 1:
            return _Parsed(hint, NoneType in parts, ())
        kind, _, marks = _parsed(others[0])
        return _Parsed(kind, NoneType in parts, marks)
    return _Parsed(hint, False, ())


def _doc(hint: Any) -> Doc:
    """The `Doc` of a hint."""
    return next((mark for mark in _parsed(hint).marks if isinstance(mark, Doc)), Doc(""))
