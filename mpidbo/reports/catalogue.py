"""What there is, in words: methods, strategies, topologies, problems."""

import inspect
import sys
import textwrap
from collections.abc import Collection, Mapping
from typing import Any

from .._text import aligned, plural
from ..algorithms import METHODS, Claims, Method, strategies
from ..algorithms.communication import formula
from ..algorithms.strategies import STRATEGIES
from ..config import validate as configuration
from ..network.graphs import TOPOLOGIES
from ..network.table import RULES, options
from ..problems import PROBLEMS
from ..problems.lookup import problem_class


def methods() -> str:
    """Every method with its keys, needs and traffic, and the strategies."""
    return "\n\n".join([*(_method(name) for name in METHODS), "Strategies, for any level of any method that does not fix them:",
                        recursions(), "mpidbo methods NAME prints a method's equations."])


def method(name: str) -> str:
    """One method with its equations, or one strategy; the name may carry strategies, such as sparkle-ed-gt. Raises UserError."""
    if name in STRATEGIES:
        return recursions(name)
    rule = METHODS[configuration.split_name(name)[0]][0]
    return f"{_method(name)}\n\n{inspect.getdoc(sys.modules[rule.__module__])}"


def _method(name: str) -> str:
    table, steps, rule = defaults(name)
    base, _ = METHODS[table["name"]]
    about = " ".join((inspect.getdoc(base) or "").split("\n\n")[0].split("\n"))
    sends, later = (f"{floats} floats to each neighbour in {{}}, {plural(rounds, 'round')}"
                    for floats, rounds in (formula(rule), formula(rule, 99)))
    aliases = configuration.ALIASES.get(table["name"], {})
    rows = [("levels", ", ".join(f"{level} by {row}" for level, row in rule.strategies().items())),
            ("names", ", ".join(f"{table['name']}-{theirs} is {table['name']}-{ours}" for theirs, ours in aliases.items())),
            ("[method]", _keys({key: value for key, value in table.items() if key != "name"})),
            ("[steps]", _keys(steps)),
            ("needs", " ".join(rule.needs)),
            ("sends", sends.format("an iteration") if later == sends else
             f"{sends.format('iteration 1')}; {later.format('iteration 99')}"),
            ("claims", claims_of(base.claims)),
            ("source", base.source)]
    return f"{name}: {about}\n" + aligned([(label.ljust(8), text) for label, text in rows if text], indent="    ")


def claims_of(row: Claims | None) -> str:
    """The papers' comparison in words."""
    if row is None:
        return ""
    assumes, rate, evaluations, communication, transient, single_loop = row
    said = {"assumes": assumes, "rate": rate, "gradients": evaluations, "floats": communication, "transient": transient}
    return "; ".join([*(f"{key} {value}" for key, value in said.items() if value != "-"), "single loop" if single_loop else "double loop"])


def defaults(name: str) -> tuple[Mapping[str, Any], Mapping[str, Any], Method]:
    """([method], [steps], the rule) with the defaults of a method."""
    checked = configuration.check({"problem": {"name": "quadratic"}, "method": {"name": name}})
    return checked.method, checked.steps, configuration.rule_of(checked.method, checked.steps, n=2, horizon=checked.run.iterations)


def _keys(table: Mapping[str, Any]) -> str:
    return "  ".join(f"{key} = {value_of(value)}" if value is not None else f"{key} (unset)" for key, value in table.items())


def value_of(value: Any) -> str:
    """A key's value; a schedule as its table."""
    return "{ " + ", ".join(f"{key} = {part}" for key, part in value.items()) + " }" if isinstance(value, Mapping) else str(value)


def lacking(oracles: Collection[str]) -> dict[str, list[str]]:
    """For every method the oracles that it needs and that are not among these."""
    return {name: [oracle for oracle in defaults(name)[2].needs if oracle not in oracles] for name in METHODS}


def recursions(only: str | None = None) -> str:
    """The table of the strategies, from where it is written down, with what each sends."""
    lines = [line for line in (strategies.__doc__ or "").splitlines() if line.startswith("|") and not line.startswith("|--")]
    head, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    table = [[head[0], head[-1], *head[1:-1], "sends", "rounds", "W"]]
    for name, *middle, recursion in rows:
        row = STRATEGIES[name]
        if only in (None, name):
            table.append([name, recursion, *middle, f"{row.width} d", str(row.rounds), "symmetric" if row.symmetric else "any"])
    return (aligned(table, indent="    ") + "\n\n    s: a level's iterate of d entries, u = step * direction, h: tracker, + and ++: "
            "the next ones; sends: floats to each neighbour in a step")


def topologies() -> str:
    """Every named topology with its options."""
    entries = []
    for name, graph in TOPOLOGIES.items():
        own = [f"{key}: {RULES[key][1]}" if key in RULES else key for key in options(name)]
        entries.append(_entry(name, "" if graph.__name__ == "<lambda>" else _summary(graph), "; ".join(own)))
    common = [("lazy", "true or false: W <- (I + W)/2; true unless said, for a file or edges false"),
              ("weights", '"metropolis": 1/(1 + max(d_i, d_j)), or "uniform": 1/(1 + max_k d_k), for an edge between degrees d_i and d_j'),
              ("drop", f"{RULES['drop'][1]}: each edge fails at each iteration with this probability")]
    return "\n".join([*entries, "", "Options of all, but that W.npy and self_weight bring their weights:",
                      aligned(common, indent="    "), "",
                      "A file in place of the name: W itself in .npy, .npz, .mtx or as text, a row on a line, or an edge list, two agents",
                      "0..n-1 on a line; in Python also a graph of networkx or a matrix.",
                      "mpidbo topology NAME -n N --set KEY=VALUE shows one; --picture FILE.png draws it."])


def problems() -> str:
    """Every shipped problem with its options and their defaults."""
    entries = []
    for name in PROBLEMS:
        cls = problem_class(name)
        options = {key: p.default for key, p in inspect.signature(cls).parameters.items() if p.default is not p.empty and key != "dtype"}
        entries.append(_entry(name, _summary(cls), ", ".join(f"{key} = {value}" for key, value in options.items())))
    return "\n".join([*entries, "", "Your own is written my_file.py:MyProblem.",
                      "mpidbo check NAME --set KEY=VALUE compares the oracles with finite differences."])


def _entry(name: str, about: str, options: str) -> str:
    lines = textwrap.wrap(options, 110, break_long_words=False, break_on_hyphens=False)
    return "\n".join([name, *(f"    {line}" for line in [about, *lines] if line)])


def _summary(what: Any) -> str:
    return (inspect.getdoc(what) or "").split("\n")[0]
