"""Random configurations by number: right ones, and such with an odd value, for fuzz.py."""

import contextlib
import random
import re
from copy import deepcopy
from dataclasses import MISSING, dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from inspect import signature
from pathlib import Path
from typing import Any

import fuzz_problems
import h5py
import numpy as np
import tomli_w

from mpidbo import config
from mpidbo.algorithms import METHODS
from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.network import TOPOLOGIES
from mpidbo.problems import PROBLEMS, requestable
from mpidbo.problems.lookup import problem_class

HERE = Path(__file__).resolve().parent
CHANGES = re.compile("drop|every|one-peer|matching")
"""In the topologies whose W changes."""
COMPRESSED = [name for name, row in STRATEGIES.items() if row.compression is not None]
"""Strategies that need one W."""
NO_RIDGE = ("dm-hsgd", "dsgd", "gda", "single-level")
"""Methods that refuse `lower_ridge`."""

SMALL: dict[str, dict[str, Any]] = {
    "quadratic": {"p": 3, "q": 4},
    "hyper-cleaning": {"n_train": 60, "n_validation": 40, "hidden": [4]},
    "logistic-tuning": {"features": 4, "classes": 3, "n_train": 40, "n_validation": 30},
    "linear-regression": {"p": 3, "q": 4},
    "policy-evaluation": {"states": 8, "p": 3},
    "policy-evaluation-residual": {"states": 8, "p": 3},
    "nonconvex-toy": {},
    "australian": {"data": "records"},
    "meta-learning": {"dim": 4, "features": 2, "tasks": 3, "shots": 3, "queries": 4},
    "hyper-representation": {"n_train": 60, "n_validation": 40, "hidden": [3]},
    "domain-reweighting": {"n_train": 60, "n_validation": 40},
    "minimax": {"p": 3, "q": 3},
    "compositional": {"p": 3, "q": 4},
    "unbounded-dissimilarity": {"dim": 3},
}
# fmt: off
RIGHT: dict[str, list[Any]] = {
    "noise": [0, 0.1], "heterogeneity": [0, 0.3, 1], "batch": [0, 1, 3], "val_batch": [0, 2],
    "split": ["iid", "dirichlet", "class"], "concentration": [0.5, 10], "model": ["softmax", "mlp"],
    "condition": [1, 3.0], "corruption": [0, 0.5], "discount": [0, 0.5],
    "weights": ["softmax", "simplex"], "ridge": [0.1], "lam": [0.5], "mu": [0.1],
}
# fmt: on
"""Values of options that every problem with such an option takes."""

# fmt: off
ODD: list[Any] = [
    True, False, [], [0], [True], ["a"], [[1]], [-1], [2**40], [1.5], {}, {"a": 1},
    {"kind": "power"}, {"kind": ["power"]}, "", "a", "1", "nan", "true", "x" * 5000, "y/" * 2500,
    "a\0b", "ä€😀", "a\nb", -1, 0, 1, 2, 3, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, 2**63, 2**64,
    10**400, 1e300, -1e300, 1e150, 1e100, -1e18, 1e-300, 0.1, 0.5, 1.5, -0.0,
    float("inf"), float("-inf"), float("nan"),
    date(2020, 1, 1), datetime(2020, 1, 1), ["z" * 5000], [0.5] * 1000, {"k" * 5000: "v" * 5000},
    [{"a": [{}]}], "~", "~nobody/x", ".", "/dev/null/x", "a.py:B", ":", ".py:", "://",
]
# fmt: on
"""Values that TOML has."""
# fmt: off
OF_PYTHON: list[Any] = [
    None, np.float64(0.3), np.float32(0.1), np.int64(3), np.uint8(1), np.bool_(True), np.array(3),
    np.array([1, 2]), np.array([]), np.eye(2), np.array(["a"]), Fraction(1, 3), Decimal("0.1"),
    Decimal("nan"), Path("x"), "\ud800", b"bytes", {1, 2}, object(), 1j, lambda: 0, range(3),
    (1, 2), {1: 2}, {(1, 2): 3}, np.datetime64("2020-01-01"), int, ValueError("x"), iter([1]),
    np.ma.masked, bytearray(5), np.float16(0.5), np.longdouble(1), np.random.default_rng(0),
    {"a": None}, {None: 1}, float, Path("/"), np.str_("a"), memoryview(b"a"),
]
# fmt: on
"""Values that only Python has."""
# fmt: off
NAMES = [
    "", "x" * 5000, "a b", "ä", "a.b", "a\0b", "nmae", "name", "file", "kind", "agents", "dtype",
    "seed", "self", "xp", "config", "comm",
]
# fmt: on


@dataclass
class Case:
    """A configuration, and how it is run: by `solve`, or as a file by the command, maybe a
    second time in the same folder."""

    seed: int
    tables: dict[str, Any]
    by_command: bool
    again: bool
    overrides: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        with contextlib.suppress(Exception):
            return tomli_w.dumps(self.tables) + "".join(
                f"# --set {text!a}\n" for text in self.overrides
            )
        return f"# not TOML:\n{self.tables!a}\n"


def case(seed: int, ranks: int = 1) -> Case:
    """The configuration of that number, for so many ranks."""
    rng = random.Random(seed)
    tables = valid(rng, ranks)
    by_command = rng.random() < 0.5
    odd = ODD if by_command else ODD + OF_PYTHON
    for _ in range(rng.choice([0, 0, 0, 0, 0, 1, 1, 2, 3])):
        mutate(tables, rng, odd)
    made = Case(seed, tables, by_command, rng.random() < 0.2)
    if by_command and rng.random() < 0.1:
        made.overrides = [
            rng.choice(
                [
                    "run.seed",
                    "steps.alpha",
                    "problem.name",
                    "run.start",
                    "run.dtype",
                    "topology.name",
                    "x",
                    "run." + "k" * 3000,
                ]
            )
            + "="
            + rng.choice(
                ["\udcff", "1", "[", "'", "{a=1}", "x" * 3000, "\udcff.py:A", "=", "nan", ""]
            )
        ]
    bounded(tables)
    return made


def valid(rng: random.Random, ranks: int) -> dict[str, Any]:
    """A configuration without a mistake, most of the time: not every method suits every problem."""
    n = rng.randint(max(2, ranks), 6)
    tables: dict[str, Any] = {
        "problem": problem(rng, ranks),
        "method": method(rng),
        "topology": topology(rng, n),
        "run": {
            "agents": n,
            "iterations": rng.choice([0, *range(1, 7), 4]),
            "evaluate_every": rng.randint(1, 4),
        },
    }
    if tables["method"]["name"] in ("dsbo", "gossip-dsbo") and "n_train" in tables["problem"]:
        tables["problem"] = {"name": "minimax"}  # dense matrices take long
    if tables["method"]["name"] == "dsgd" and rng.random() < 0.8:
        tables["problem"] = {"name": "policy-evaluation", **SMALL["policy-evaluation"]}
    if tables["method"]["name"].startswith(("gda", "dm-hsgd")) and rng.random() < 0.8:
        tables["problem"] = {"name": "minimax", **SMALL["minimax"]}
    rule = METHODS[config.split_name(tables["method"]["name"])[0]][0]
    if "directed-" in str(tables["topology"]) and rng.random() < 0.8:
        levels = config.strategy_keys(tables["method"]["name"])
        tables["method"] |= dict.fromkeys(levels, rng.choice(["push-pull", "ab", "push-sum"]))
    if CHANGES.search(str(tables["topology"])) and rng.random() < 0.8:
        for level, row in tables["method"].items():
            if row in COMPRESSED:
                tables["method"][level] = "gt"
    own = [step for step in config.STEPS if step in {f.name for f in fields(rule)}]
    tables["steps"] = {step: schedule(rng) for step in own if rng.random() < 0.4}
    if rng.random() < 0.02:
        tables["steps"] = "auto"
    run = {
        "seed": rng.choice([0, 7, 2**63 - 1]),
        "dtype": rng.choice(["float64", "float32"]),
        "batched": rng.choice(["exact", "always", "never"]),
        "metrics": rng.choice([[], [], "hypergradient_norm", [rng.choice(requestable())]]),
        "max_seconds": rng.choice([10, 0.0]),
        "stop": {
            "metric": rng.choice(["upper_loss", "consensus_x", "calls_f_x"]),
            "below": rng.choice([-1e9, 1e9]),
        },
        "threads": 1,
        "stall_timeout": 60,
        "device": "cpu",
        "out": "out",
    }
    tables["run"] |= {key: value for key, value in run.items() if rng.random() < 0.2}
    if rng.random() < 0.03:
        tables["run"]["start"] = rng.choice(["start.h5", "records", "absent.h5"])
        tables["problem"] = {"name": "quadratic", "p": 3, "q": 4}
    if rng.random() < 0.4:
        tables["checkpoint"] = {"every": rng.randint(0, 3), "keep": rng.randint(1, 2)}
    return tables


def problem(rng: random.Random, ranks: int) -> dict[str, Any]:
    if rng.random() < 0.2:
        wrong = fuzz_problems.WRONG if ranks == 1 else fuzz_problems.REFUSED
        return {"name": f"{HERE / 'fuzz_problems.py'}:{rng.choice(['Right', rng.choice(wrong)])}"}
    name = rng.choice(list(PROBLEMS))
    table = {"name": name, **SMALL[name]}
    for key in options(name):
        if key in RIGHT and not (name == "australian" and key == "ridge") and rng.random() < 0.3:
            table[key] = rng.choice(RIGHT[key])
    return table


def options(name: str) -> dict[str, Any]:
    return {
        key: p
        for key, p in signature(problem_class(name)).parameters.items()
        if key not in ("agent", "n_agents", "xp", "seed", "dtype")
    }


def method(rng: random.Random) -> dict[str, Any]:
    name = rng.choice(list(METHODS))
    rule, fixed = METHODS[name]
    table: dict[str, Any] = {"name": name}
    for f in fields(rule):
        if (
            f.name in (*fixed, *config.STEPS, "max_bytes")
            or rng.random() < 0.6
            or f.default is MISSING
            or (f.name == "lower_ridge" and name.startswith(NO_RIDGE) and rng.random() < 0.8)
        ):
            continue
        if f.name in ("lower", "upper", "auxiliary"):
            row = rng.choice(list(STRATEGIES))
            table[f.name] = compressed(rng, row) if rng.random() < 0.3 else row
        elif isinstance(f.default, str):
            table[f.name] = rng.choice(
                {
                    "schedule": ["jacobi", "gauss-seidel"],
                    "variant": ["first-order", "second-order"],
                    "scheme": ["central", "forward"],
                    "order": ["old-average", "new-average"],
                    "samples": ["independent", "one"],
                }[f.name]
            )
        else:
            table[f.name] = (
                schedule(rng)
                if f.name == "mu"
                else 2
                if f.type in ("int", int) or type(f.default) is int
                else rng.choice([1, 0.5])
            )
    return table


def compressed(rng: random.Random, row: str) -> Any:
    """The strategy of that name with messages that weigh less."""
    if row not in COMPRESSED:
        return row if STRATEGIES[row].averages else {"name": row, "wire": "bfloat16"}
    name, keys = rng.choice(
        [
            ("top-k", {"k": rng.choice([0.5, 1, 2, 100])}),
            ("random-k", {"k": rng.choice([0.5, 1, 2, 100])}),
            ("quantize", {"bits": rng.choice([2, 4, 16])}),
            ("bfloat16", {}),
            ("none", {}),
        ]
    )
    return {"name": row, "compress": name, "gamma": 0.1, **keys}


def schedule(rng: random.Random) -> Any:
    return rng.choice(
        [
            0.01,
            0.05,
            {"kind": "inverse-sqrt", "start": 0.05},
            {"kind": "power", "start": 0.05, "exponent": -0.5, "warmup": 3},
            {"kind": "sqrt-n-over-t", "scale": 0.01},
            {"start": 0.02, "warmup": 2},
        ]
    )


def topology(rng: random.Random, n: int, levels: bool = True) -> dict[str, Any]:
    if levels and rng.random() < 0.1:
        return {level: topology(rng, n, levels=False) for level in ("upper", "lower")}
    if rng.random() < 0.1:
        files = [f"ring-{n}.edges", f"ring-{n}.npy"] * 3 + ["records", "absent"]
        return {"file": rng.choice(files), "lazy": True}
    names = [name for name in TOPOLOGIES if name != "cycle"]  # which needs files
    if n not in (1, 2, 4):
        names = [name for name in names if name not in ("hypercube", "one-peer-exponential")]
    table: dict[str, Any] = {"name": rng.choice(names)}
    if rng.random() < 0.1:
        table["drop"] = 0.2
    if rng.random() < 0.2 and table["name"] != "adjusted-ring":
        table["weights"] = rng.choice(["uniform", "metropolis"])
    if rng.random() < 0.1:
        table["lazy"] = rng.random() < 0.7
    return table


def mutate(tables: dict[str, Any], rng: random.Random, odd: list[Any]) -> None:
    """Put an odd value in place of a random one, add an unknown key, take one away, or replace a
    section."""
    chance = rng.random()
    if chance < 0.03:
        tables[rng.choice([*tables, *NAMES])] = copied(rng.choice(odd))
        return
    section = rng.choice(
        ["problem", "problem", "method", "steps", "topology", "run", "run", "checkpoint"]
    )
    table = tables.setdefault(section, {})
    while isinstance(table, dict):
        deeper = [value for value in table.values() if isinstance(value, dict)]
        if not deeper or rng.random() < 0.5:
            break
        table = rng.choice(deeper)
    if not isinstance(table, dict):
        return
    if chance < 0.1 and table:
        del table[rng.choice(list(table))]
        return
    keys = list(table)
    if table is tables.get(section):
        keys += known(section, tables)
    key = rng.choice(NAMES) if chance < 0.18 or not keys else rng.choice(keys)
    table[key] = copied(rng.choice(odd))


def copied(value: Any) -> Any:
    """A value of its own, if it may be mutated."""
    return deepcopy(value) if isinstance(value, (list, dict)) else value


def known(section: str, tables: dict[str, Any]) -> list[str]:
    """Keys that a section may have."""
    name = (
        tables.get("problem", {}).get("name") if isinstance(tables.get("problem"), dict) else None
    )
    return {
        "run": [f.name for f in fields(config.Run)],
        "checkpoint": ["every", "keep"],
        "steps": [*config.STEPS],
        "topology": [
            "name",
            "file",
            "weights",
            "lazy",
            "drop",
            "directed",
            "p",
            "self_weight",
            "degree",
            "seed",
            "shape",
            "upper",
            "lower",
        ],
        "method": [
            "name",
            "strategy",
            "lower",
            "upper",
            "T",
            "N",
            "J",
            "b",
            "L",
            "mu",
            "mu_g",
            "R",
            "lam",
            "a",
            "eta",
            "delta",
            "max_bytes",
        ],
        "problem": list(options(name))
        if isinstance(name, str) and name in PROBLEMS
        else ["size", "widths", "names", "rate", "flag", "text", "data"],
    }.get(section, [])


def bounded(tables: dict[str, Any]) -> None:
    """Whoever asks for many iterations gets them: here the clock ends them."""
    run = tables.get("run")
    if isinstance(run, dict):
        iterations = run.get("iterations")
        if "iterations" not in run or (isinstance(iterations, int) and iterations > 10):
            run["max_seconds"] = 0.2


def prepared(folder: Path) -> None:
    """What configurations name: samples, graphs, a start, problems."""
    rng = np.random.default_rng(0)
    lines = (
        f"{label:+d} " + " ".join(f"{j + 1}:{value:.3f}" for j, value in enumerate(row))
        for label, row in zip(rng.choice([-1, 1], 60), rng.uniform(-1, 1, (60, 4)), strict=True)
    )
    (folder / "records").write_text("\n".join(lines) + "\n")
    for n in range(2, 7):
        (folder / f"ring-{n}.edges").write_text("".join(f"{i} {(i + 1) % n}\n" for i in range(n)))
        np.save(folder / f"ring-{n}.npy", np.eye(n) / 2 + np.full((n, n), 0.5 / n))
    with h5py.File(folder / "start.h5", "w") as file:
        file["x"], file["y"] = np.ones(3), np.ones(4)
