"""Values against annotations: a right value is converted, a wrong one is a sentence with a
remedy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Required, TypedDict

import numpy as np
import pytest

from mpidbo import UserError
from mpidbo._fields import (
    Count,
    Doc,
    Form,
    Nonnegative,
    OneOf,
    Positive,
    Range,
    convert,
    describe,
    fields_of,
    from_table,
)
from mpidbo.algorithms import METHODS

Even = Annotated[int, Form(lambda value: value % 2 == 0, "an even number")]
Share = Annotated[float, Range(0, below=1)]
Unbounded = Annotated[float, Range(-math.inf, math.inf)]
Named = Annotated[str, OneOf(lambda: ("ring", "star"), "graph")]


class Stop(TypedDict, total=False):
    metric: Required[Annotated[str, Doc("column")]]
    below: float


@dataclass(frozen=True)
class Table:
    agents: Annotated[int | None, Range(1, 10**6), Doc("how many", "one")] = None
    stop: Stop | None = None
    names: tuple[Named, ...] = ()
    seed: int = 3


RIGHT = [
    (3, int, 3),
    (np.int64(3), int, 3),
    (2**63 - 1, int, 2**63 - 1),
    (3, float, 3.0),
    (np.float32(0.5), float, 0.5),
    (np.float16(0.5), Annotated[float, Range(0, 10**9)], 0.5),
    (np.int8(5), Annotated[int, Range(1, 10**6)], 5),
    (math.inf, Unbounded, math.inf),
    (True, bool, True),
    ("a", str, "a"),
    (Path("a"), Path, Path("a")),
    ("a", Path, "a"),
    (None, int | None, None),
    (4, Even | None, 4),
    (0, Share, 0.0),
    (1, Count, 1),
    ("b", Literal["a", "b"], "b"),
    ([1, 2], tuple[int, ...], (1, 2)),
    ((1, 2), list[float], [1.0, 2.0]),
    (["ring"], tuple[Named, ...], ("ring",)),
    ({"a": 1}, Mapping[str, Any], {"a": 1}),
    ({"metric": "m", "below": 1}, Stop | None, {"metric": "m", "below": 1.0}),
    (object, Any, object),
    ("a", int | str, "a"),
]


@pytest.mark.parametrize(("value", "hint", "expected"), RIGHT, ids=range(len(RIGHT)))
def test_right_values(value, hint, expected):
    made = convert(value, hint, "a.b")
    assert made == expected and type(made) is type(expected)


WRONG = [
    ("eight", int, '"eight" is not a whole number; give one, such as 8'),
    (True, int, "true is not a whole number"),
    (1.0, int, "1.0 is not a whole number"),
    (2**63, int, "9223372036854775808 is out of range; give a whole number of at most 64 bits"),
    (0, Count, "0 is out of range; give at least 1 and at most 1000000"),
    (None, int, "null is not a whole number"),
    (math.nan, float, "NaN is not a finite number; give one, such as 0.1"),
    (-math.inf, float, "-Infinity is not a finite number"),
    (10**400, Unbounded, "is out of range; give a whole number of at most 64 bits, or one with a"),
    (math.nan, Unbounded, "NaN is not a number"),
    (Fraction(1, 3), float, "1/3 is not a finite number"),
    (Decimal("0.1"), float, "0.1 is not a finite number"),
    (1j, float, "is not a finite number"),
    (True, float, "true is not a finite number"),
    (1, Share, "1 is out of range; give at least 0 and less than 1"),
    (0, Positive, "0 is out of range; give more than 0"),
    (-1, Nonnegative, "-1 is out of range; give at least 0"),
    (3, Even, "3 does not fit; give an even number"),
    (1, bool, "1 is not true or false; give one, such as true"),
    (3, str, '3 is not a string; give one, such as "text"'),
    (3, Path, "3 is not the path of a file"),
    ("c", Literal["blue", "red"], '"c" is none of blue, red; known: blue, red'),
    ("rad", Literal["blue", "red"], '"rad" is none of blue, red; did you mean red?'),
    (["red"], Literal["blue", "red"], '["red"] is none of blue, red'),
    ("sta", Named, 'no graph is called "sta"; did you mean star?'),
    ("ab", list[int], '"ab" is not a list'),
    ([1, "b"], list[int], '"b" is not a whole number'),
    (3, Mapping[str, Any], "3 is not a table; write [a.b] and its keys below it"),
    ({"metrc": "m"}, Stop, "a.b.metrc: unknown key; did you mean metric?"),
    ({"below": "low"}, Stop, 'a.b.below: "low" is not a finite number'),
]


@pytest.mark.parametrize(("value", "hint", "words"), WRONG, ids=range(len(WRONG)))
def test_wrong_values(value, hint, words):
    with pytest.raises(UserError) as caught:
        convert(value, hint, "a.b")
    assert str(caught.value).startswith(words if words.startswith("a.b") else "a.b: ")
    assert words in str(caught.value)


def test_a_message_names_the_default():
    with pytest.raises(UserError, match=r"run\.seed: true is not .* such as its default, 3"):
        from_table(Table, {"seed": True}, "run")


def test_a_table():
    found = from_table(Table, {"agents": 2, "stop": {"metric": "m"}, "names": ["star"]}, "run")
    assert found == Table(2, {"metric": "m"}, ("star",))
    with pytest.raises(UserError, match=r"^run\.sed: unknown key; did you mean seed\?"):
        from_table(Table, {"sed": 1}, "run")
    with pytest.raises(UserError, match=r"^run: 3 is not a table; write \[run\]"):
        from_table(Table, 3, "run")


def test_fields_of_a_dataclass_a_table_and_a_function():
    def graph(n: int, *, p: Share = 0.5, other=None):
        """An option without an annotation is not checked."""

    assert fields_of(Table)["agents"].doc == Doc("how many", "one")
    assert fields_of(Stop)["metric"].doc.text == "column"
    assert fields_of(graph)["p"].default == 0.5 and fields_of(graph)["other"].hint is Any


@pytest.mark.parametrize("name", METHODS)
def test_numbers_of_methods_have_ranges(name):
    """A step count or weight of 0 would otherwise be accepted; step sizes are schedules, at
    least 0."""
    for key, field in fields_of(METHODS[name][0]).items():
        words = describe(field.hint)
        if words.startswith(("a whole number", "a number")):
            assert "more than 0" in words or "at least 1" in words, f"{key}: {words}"


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "a whole number"),
        (Share | None, "a number, at least 0 and less than 1"),
        (Count, "a whole number, at least 1 and at most 1000000"),
        (Literal["a", "b"], '"a" or "b"'),
        (Even, "an even number"),
        (Named, "one of ring, star"),
        (Any, "any value"),
    ],
)
def test_what_a_hint_is_in_words(hint, words):
    assert describe(hint) == words
