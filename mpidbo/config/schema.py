"""The sections of a configuration: their keys with type, range, default and meaning."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, Required, TypedDict

from .._fields import Doc, OneOf, Range, fields_of
from ..algorithms import STRATEGIES, Function
from ..network import Part
from ..problems import name_of
from .run_section import Checkpoint, Run
from .values import plain

SECTIONS = ("problem", "method", "steps", "topology", "run", "checkpoint")
"""Names of the sections of a configuration, in the order of its file."""


class ProblemTable(TypedDict, total=False):
    """Keys of `[problem]`, beside the options of the problem."""

    name: Annotated[
        str,
        Doc(
            'one of the [problems](api/problems.md), `"my_file.py:MyProblem"`, or '
            '`"module:MyProblem"`, installed or in the working folder or beside the file; in '
            "`solve` also the class itself",
            default="needed",
        ),
    ]


Named = str | Mapping[str, Any]
"""A name, or a table with a name."""


class MethodTable(TypedDict, total=False):
    """Keys of `[method]`, beside the method's own constants."""

    name: Annotated[
        str,
        Doc(
            "one of the [methods](api/methods.md); its strategies may follow the name: "
            '`"sparkle-ed-gt"`',
            default='`"sparkle"`',
        ),
    ]
    lower: Annotated[
        Named,
        Doc(
            "the [strategy](api/choices.md) of y and z (t), or a [table](#methodlower) with its "
            "name",
            default="the method's",
        ),
    ]
    upper: Annotated[Named, Doc("the strategy of x, likewise", default="the method's")]
    strategy: Annotated[
        Named, Doc("one strategy for both levels; `lower` and `upper` take precedence over it")
    ]
    lower_ridge: Annotated[
        Any,
        Doc(
            "r_k of g + r_k \\|y\\|^2/2 in place of g, for a lower level that is merely convex: a "
            "number or a [schedule](methods.md#schedules) that does not grow; "
            "[what it does](methods.md#a-convex-lower-level)"
        ),
    ]


class StrategyTable(TypedDict, total=False):
    """Keys of the table of a strategy, which are checked by `algorithms.strategy`."""

    name: Required[Annotated[str, Doc("the strategy", default="needed")]]
    wire: Annotated[
        Literal["float32", "bfloat16"],
        Doc(
            "what messages of a strategy that sends in full are rounded to, R: it mixes by "
            "s + (W - I) R(s)",
            default="no rounding",
        ),
    ]
    compress: Annotated[
        str,
        Doc(
            "what travels of a row with `choco`, `beer` and `lead`: "
            "[one of these](choosing.md#compressed-messages)",
            default='`"top-k"`; `lead`: `"quantize"`',
        ),
    ]
    k: Annotated[Part, Doc("of `top-k` and `random-k`: how many entries travel", default="`0.1`")]
    bits: Annotated[int, Range(2, 16), Doc("of `quantize`: bits of an entry", default="`4`")]
    gamma: Annotated[
        float,
        Range(above=0, at_most=1),
        Doc(
            "by how much a step goes towards neighbours; the smaller, the fewer bytes travel",
            default="`choco` `0.2`, `beer` `0.3`, `lead` `0.3`",
        ),
    ]
    a: Annotated[
        float,
        Range(above=0, at_most=1),
        Doc("of `lead`: weight of a message in what neighbours know", default="`0.5`"),
    ]


Step = float | Mapping[str, Any] | Literal["auto"]
"""A number, or the table of a schedule, or what the run is to find."""


class StepsTable(TypedDict, total=False):
    """Keys of `[steps]`."""

    alpha: Annotated[Step, Doc("step size of x", default="the method's")]
    beta: Annotated[Step, Doc("step size of y", default="the method's")]
    gamma: Annotated[Step, Doc("step size of z, or of t", default="the method's")]
    theta: Annotated[
        Step,
        Doc(
            "weight of the newest estimate in the moving average r, at most 1",
            default="the method's",
        ),
    ]


STEPS = tuple(fields_of(StepsTable))
"""The keys of `[steps]`."""


StrategyName = Annotated[str, OneOf(lambda: STRATEGIES, "strategy", others=True)]
"""A strategy, or what a method's paper calls it."""


@dataclass(frozen=True)
class Config:
    """A checked configuration, with every default except those of the problem and the topology.

    Parameters
    ----------
    problem : Mapping
        `[problem]`: the name, or in Python the class, and the options as they were given.
    method : Mapping
        `[method]`: the method's name and all its keys.
    steps : Mapping
        `[steps]`: the step sizes that the method uses, as numbers or tables of a schedule.
    topology : Mapping
        `[topology]`, with the default name.
    run : Run
        `[run]`.
    checkpoint : Checkpoint, optional
        `[checkpoint]`.
    defaulted : tuple of str, optional
        The keys of `[steps]` that have the method's default.
    auto : tuple of str, optional
        The keys of `[steps]` that are to be found, and have a default until then.
    tuning : Mapping, optional
        `[tuning]`: how step sizes were found, where they were.
    """

    problem: Mapping[str, Any]
    method: Mapping[str, Any]
    steps: Mapping[str, Any]
    topology: Mapping[str, Any]
    run: Run
    checkpoint: Checkpoint = Checkpoint()
    defaulted: tuple[str, ...] = ()
    auto: tuple[str, ...] = ()
    tuning: Mapping[str, Any] = field(default_factory=dict)

    def tables(self) -> dict[str, Any]:
        """The configuration as plain tables, which config.toml holds.

        Returns
        -------
        dict
            Section -> its table: numbers, strings, lists and tables, without keys that are unset.
        """
        run = asdict(self.run)
        tables = {
            "problem": {**self.problem, "name": _named(self.problem["name"])},
            "method": _recorded(self.method),
            "steps": {**_recorded(self.steps), **dict.fromkeys(self.auto, "auto")},
            "topology": self.topology,
            "run": {**run, "log": [_named(logger) for logger in run["log"]]},
            "checkpoint": asdict(self.checkpoint),
        }
        if self.tuning:
            tables["tuning"] = self.tuning
        return {section: plain(table) for section, table in tables.items()}


def _recorded(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table with the names of functions in place of functions."""
    return {
        key: value.table() if isinstance(value, Function) else value for key, value in table.items()
    }


def _named(what: str | type[Any]) -> str:
    """The name by which a configuration refers to a class, or the name itself."""
    return name_of(what) if isinstance(what, type) else what
