"""What the commands do."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import config as configuration
from .agents import agreed
from .loading import make_problems, problem_class
from .plan import Plan
from .progress import Log, Progress
from .reading import load, parse_overrides, with_absolute_paths
from .record import Folder


def run(args: argparse.Namespace, comm: Any) -> int:
    """Run a configuration, into its folder."""
    root = comm is None or comm.rank == 0
    with agreed(comm):
        config = configuration.check(load(args.config, args.overrides))
    out = Path(args.out or config.run.out or Path("runs", args.config.stem)).resolve()
    with Plan(replace(config, run=replace(config.run, out=str(out))), comm) as plan:
        if args.dry_run:
            if root:
                print(describe(plan))
            return 0
        folder = Folder(out, plan.config.tables(), plan.agents, args.resume)
        if folder.finished:
            if root:
                print(f"{out}: already finished, nothing to do (--resume never starts anew)")
            return 0
        bar = root and sys.stderr.isatty()
        log = Log(root and not bar)
        watchers = (Progress(config.run.iterations),) if bar else ()
        result = plan.run(folder=folder, observers=watchers, gather=False, told=log)
        if root:
            print(summary(result, out))
        return 0


def describe(plan: Any) -> str:
    """The plan of a run: agents, ranks, memory and floats per iteration."""
    p, q = plan.dims
    rule, agents = plan.method, plan.agents
    state = rule.start(*plan.rows())
    size = sum(a.nbytes for a in leaves(state))
    lines = [f"problem   {plan.config.problem['name']}: p = {p}, q = {q}",
             f"method    {plan.config.method['name']}: " + ", ".join(f"{level} by {row}" for level, row in rule.strategies().items())]
    for level, topology in plan.levels.items():
        lines.append(f"W.{level}       {topology.name}: gap {topology.gap:.4g}, smallest eigenvalue {topology.lambda_min:.4g}, "
                     f"at most {int(topology.degrees.max())} neighbours")
    lines += [f"agents    {agents.n} on {agents.size} rank{'s' * (agents.size > 1)}",
              f"memory    {size / 2**20:.3g} MiB of state on rank 0",
              f"traffic   {rule.floats(plan.dims)} floats to each neighbour in an iteration"]
    return "\n".join(lines)


def leaves(state: Any) -> list[Any]:
    """The arrays of a state."""
    return [a for part in state for a in leaves(part)] if isinstance(state, tuple) else [state]


def summary(result: Any, out: Path) -> str:
    skip = ("calls_", "seconds_", "floats", "messages", "rounds", "iteration")
    last = {name: values[-1] for name, values in result.history.items() if not name.startswith(skip)}
    figures = "  ".join(f"{name} {value:.4g}" for name, value in last.items())
    return f"{result.iteration} iterations ({result.reason})\n{figures}\n{out}"


def check(args: argparse.Namespace, comm: Any) -> int:
    """Finite differences of every oracle of a problem."""
    from . import check as checking
    options = parse_overrides([f"problem.{text}" for text in args.options]).get("problem", {})
    table = with_absolute_paths({"problem": {"name": args.problem, **options}}, Path())["problem"]
    cls = problem_class(table["name"])
    problem, = make_problems(cls, table, range(1), args.agents, seed=args.seed, dtype=np.dtype("float64"))
    findings = checking.check(problem, rng=np.random.default_rng(args.seed))
    print(checking.report(findings))
    return 0 if all(finding.ok for finding in findings) else 1


def add(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """The other commands."""
