"""What the commands do; each gives the program's exit code."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from .._text import plural
from ..config import validate as configuration
from ..config.paths import options_of
from ..config.toml import folder, load, named_folder, parse_overrides, with_absolute_paths
from ..errors import UserError, did_you_mean
from ..errors import shown as quoted
from ..parallel.agents import agreed
from ..parallel.threads import announce
from ..problems import ORACLES
from ..problems.contract import agents_of
from ..problems.lookup import make_problems, problem_class
from ..problems.start_checks import check_agents
from ..reports import curves as plots
from ..reports.run_text import show as shown
from ..reports.run_text import table
from ..solver.plan import Plan
from ..solver.progress import Log, Progress
from ..solver.ranks import compare as compare_ranks
from ..solver.ranks import identity, limit
from ..solver.recorder import Folder, adopted, finished
from ..solver.stopping import stop_if_asked
from ..solver.watchdog import Watch
from ..storage import load as archive
from ..storage.history import COUNTS
from ..storage.runfolder import defaulted
from .jobscript import command as jobscripts
from .jobscript import render as batch

SAME_FILES = "start every rank with the same command line and the same files"
STOPPED = 85
"""The exit code of a run that was asked to stop: a checkpoint is written, and the same command goes on from it."""


def run(args: argparse.Namespace, comm: Any) -> int:
    """Run a configuration, into its folder."""
    read = cache(partial(load, args.config, args.overrides))
    with Watch(comm, limit(read), "mpidbo run"):
        return _run(args, comm, read)


def _run(args: argparse.Namespace, comm: Any, read: Callable[[], dict[str, Any]]) -> int:
    root = comm is None or comm.rank == 0
    with agreed(comm):
        tables = read()
        config = configuration.check(tables)
        out = folder(args.config, args.out, config.run.out)
        if args.resume != "never":
            config = configuration.check(adopted(tables, out))
        config = replace(config, run=replace(config.run, out=str(out)))
    compare_ranks(comm, "mpidbo run", lambda: {**identity(config), "--resume": args.resume, "--dry-run": args.dry_run}, SAME_FILES)
    if not args.dry_run and args.resume != "never" and finished(out, config, comm):
        return nothing_to_do(out, root)
    stop_if_asked(comm)
    with Plan(config, comm) as plan:
        if args.dry_run:
            from ..reports.plan_text import describe
            text = describe(plan)
            if root:
                print(text)
            return 0
        stop_if_asked(comm)
        with Folder(out, plan.config.tables(), plan.agents, args.resume, partial(print, flush=True),
                    defaulted(config, plan.config)) as held:
            if held.finished:
                return nothing_to_do(out, root)
            bar = Progress(config.run.iterations) if root and sys.stderr.isatty() else None
            try:
                result = plan.run(folder=held, observers=(bar,) if bar else (), gather=False, told=bar.tell if bar else Log(root))
            finally:
                if bar:
                    bar.close()
        if root:
            print(summary(result, out))
        return STOPPED if result.stopped else 0


def nothing_to_do(out: Path, root: bool) -> int:
    if root:
        print(f"{out}: already finished, nothing to do; `--resume never` starts anew")
    return 0


def where(args: argparse.Namespace, comm: None) -> int:
    """The folder of a run, which `mpidbo run` with the same arguments uses; a script looks there for the marker `done`."""
    print(folder(args.config, args.out, configuration.check(load(args.config, args.overrides)).run.out))
    return 0


def jobscript(args: argparse.Namespace, comm: None) -> int:
    """A job script, filled in."""
    print(batch.script(jobscripts.job_of(args)), end="")
    return 0


def summary(result: Any, out: Path) -> str:
    """How a run ended."""
    last = {name: values[-1] for name, values in result.history.items() if not name.startswith(COUNTS)}
    figures = "  ".join(f"{name} {value:.4g}" for name, value in last.items())
    return f"{plural(result.iteration, 'iteration')} ({result.reason})\n{figures}\n{out}"


def check(args: argparse.Namespace, comm: None) -> int:
    """Finite differences of every oracle of a problem, and the methods that it has the oracles for; or all problems."""
    from ..reports import catalogue
    if args.problem is None:
        print(catalogue.problems())
        return 0
    from ..problems import checks as checking
    most = configuration.MOST["agents"]
    for name, value, least, largest in (("--agents", args.agents, 1, most), ("--seed", args.seed, 0, configuration.LARGEST_INTEGER)):
        if value is not None and not least <= value <= largest:
            raise UserError(f"{name}: {value} is out of range; give at least {least}" + f" and at most {largest}" * (value > largest))
    table = with_absolute_paths({"problem": {"name": args.problem, **options(args.options)}}, Path())["problem"]
    announce(1)
    cls = problem_class(table["name"])
    table = options_of(cls, table)
    n = args.agents or agents_of(cls) or 2
    problem, *others = make_problems(cls, table, range(n), n, seed=args.seed, dtype=np.dtype("float64"))
    findings = checking.check(problem, rng=np.random.default_rng(args.seed))
    if all(finding.ok for finding in findings):
        findings.append(check_agents([problem, *others]))
    print(checking.report(findings))
    lacking = catalogue.lacking([name for name in ORACLES if getattr(problem, name, None) is not None])
    print(f"methods: {', '.join(name for name, missing in lacking.items() if not missing) or 'none'}")
    for name, missing in lacking.items():
        if missing:
            print(f"    not {name}, which needs {' and '.join(missing)}")
    return 0 if all(finding.ok for finding in findings) else 1


def plot(args: argparse.Namespace, comm: None) -> int:
    """Curves of runs, into a picture."""
    runs = [archive.read(path) for path in args.runs]
    folder = (runs[0].path if runs[0].path.is_dir() else runs[0].path.parent) if len(runs) == 1 else Path()
    out = args.out or folder / "curves.png"
    plots.suffix(out)
    plots.save(plots.curves(runs, args.metric, args.against), out)
    print(out)
    return 0


def show(args: argparse.Namespace, comm: None) -> int:
    """A run in words, or its history as a table."""
    found = archive.read(args.run)
    print(table(found) if args.history else shown(found))
    return 0


def topology(args: argparse.Namespace, comm: None) -> int:
    """A topology's numbers and picture; or all topologies."""
    if args.name is None:
        from ..reports import catalogue
        print(catalogue.topologies())
        return 0
    from ..reports import topology_figure as pictures
    with agreed(comm):                                  # for a lack of memory
        found = pictures.named(args.name, args.n, options(args.options))
        print(pictures.report(found))
    if args.picture:
        plots.suffix(args.picture)
        plots.save(pictures.picture(found), args.picture)
        print(args.picture)
    return 0


def methods(args: argparse.Namespace, comm: None) -> int:
    """All methods and strategies, or one with its equations."""
    from ..reports import catalogue
    print(catalogue.methods() if args.name is None else catalogue.method(args.name))
    return 0


def data(args: argparse.Namespace, comm: None) -> int:
    """The data sets that have names: list them, fetch one, or tell where it lies."""
    from ..problems.data import fetch as sets
    if args.action == "list":
        print(sets.listing())
        return 0
    if args.name is None:
        raise UserError(f"mpidbo data {args.action}: which one? Known: {', '.join(sets.registry())}")
    print(sets.fetch(args.name, args.url or "") if args.action == "fetch" else sets.located(args.name))
    return 0


def doctor(args: argparse.Namespace, comm: Any) -> int:
    """What this machine has and lacks."""
    from .doctor.checks import WRONG
    from .doctor.command import examine, report
    folder = args.folder or Path(tempfile.gettempdir())
    with Watch(comm, limit(dict), "mpidbo doctor"):
        lines = examine(comm, folder=folder, library=args.library, refused=args.refused)
    if comm is None or comm.rank == 0:
        print(report(lines))
    return int(any(line.verdict == WRONG for line in lines))


def compare(args: argparse.Namespace, comm: Any) -> int:
    """The runs of a study, and its table and figure."""
    from .. import studies
    root, read = comm is None or comm.rank == 0, cache(partial(load, args.study, args.overrides))
    with Watch(comm, limit(read), "mpidbo compare"):
        with agreed(comm):
            study = studies.load(args.study, args.overrides, args.out)
            work = study.work if args.part is None else study.part(args.part)
        compare_ranks(comm, "mpidbo compare", lambda: {**study.tables(), "--part": args.part, "--report": args.report}, SAME_FILES)
    if not args.report and not studies.execute(study, work, comm, print if root else lambda line: None):
        return STOPPED
    with agreed(comm):
        if root and args.part is None:
            print(*studies.report(study), sep="\n")
    return 0


def reproduce(args: argparse.Namespace, comm: Any) -> int:
    """Run a claim of the literature and say whether it holds; or all claims."""
    from ..studies import claims
    root = comm is None or comm.rank == 0
    if args.name is None:
        if root:
            from ..studies.claims.catalogue import claims as listing
            print(listing())
        return 0
    if args.name not in claims.CLAIMS:
        with agreed(comm):
            raise UserError(f"reproduce: no claim is called {quoted(args.name)}; {did_you_mean(args.name, claims.CLAIMS)}")
    with Watch(comm, limit(dict), "mpidbo reproduce"):
        compare_ranks(comm, "mpidbo reproduce", lambda: {"name": args.name, "--full": args.full, "--out": str(args.out)}, SAME_FILES)
    out = (args.out or Path("runs", "claims", args.name)) / ("full" if args.full else "quick")
    found = claims.judged(args.name, claims.claim(args.name), args.full, out.resolve(), comm, print if root else lambda line: None)
    if found is None:
        return STOPPED
    if root:
        print(found)
    return 0


def options(texts: list[str]) -> dict[str, Any]:
    """{"noise": 0.1} from ["noise=0.1"]. Raises UserError."""
    for text in texts:
        if not text.partition("=")[0].strip() or "=" not in text:
            raise UserError(f"--set {text}: not of the form key=value; write for example --set noise=0.1")
    return parse_overrides(f"options.{text}" for text in texts).get("options", {})


def of_a_run(made: argparse.ArgumentParser) -> None:
    """The arguments that say which run is meant and how it starts."""
    made.add_argument("config", type=Path, help="the configuration, a TOML file")
    made.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides",
                      help="override a key, such as steps.alpha=0.1; may be repeated")
    made.add_argument("--out", type=named_folder, help="the run's folder; default: run.out, else runs/NAME-OF-CONFIG")
    made.add_argument("--resume", choices=("auto", "never", "must"), default="auto",
                      help="what to do with an existing folder: go on with it, set it aside, or insist on a checkpoint")


def add(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """The parsers of all commands but `run`."""
    of_a_run(verb("where", where, "Tell the folder that `mpidbo run` with the same arguments uses."))
    jobscripts.add_arguments(verb("jobscript", jobscript, "Write a job script for a batch system, filled in for a configuration."))

    made = verb("check", check, "Compare every oracle of a problem with finite differences; without a name: list the problems.")
    made.add_argument("problem", nargs="?", help="a name, or my_file.py:MyProblem")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="options", help="an option of the problem")
    made.add_argument("--agents", type=int, help="the number of agents, of which the first is checked; default: the problem's, else 2")
    made.add_argument("--seed", type=int, default=0, help="seed of the problem and of the check; default: 0")

    made = verb("plot", plot, "Draw the curves of one or several runs.")
    made.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the folder of a run, or a history.h5")
    made.add_argument("--metric", nargs="+", action="extend", default=[], metavar="NAME",
                      help="datasets of history.h5, or consensus for that of all levels; default: what is there")
    made.add_argument("--against", choices=plots.AGAINST, default="iterations", help="the abscissa; default: iterations")
    made.add_argument("--out", type=Path, metavar="FILE", help="a .png, .pdf or .svg; default: curves.png, for one run in its folder")

    made = verb("compare", compare, "Compare methods, strategies and topologies over seeds, each with its own tuned steps.", alone=False)
    made.add_argument("study", type=Path, help="a TOML file with a section [study]")
    made.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides", help="override a key")
    made.add_argument("--out", type=named_folder, metavar="DIR", help="the study's folder; default: study.out, else runs/NAME-OF-STUDY")
    made.add_argument("--part", metavar="I/N", help="only every N-th run (method, topology and seed), from the I-th on, I from 0")
    made.add_argument("--report", action="store_true", help="only write table and figure of the runs that are there")

    made = verb("reproduce", reproduce, "Run a claim of the papers and say whether it holds; without a name: list them.", alone=False)
    made.add_argument("name", nargs="?", metavar="NAME", help="a claim")
    made.add_argument("--full", action="store_true", help="at the papers' size; default: a quick one")
    made.add_argument("--out", type=named_folder, metavar="DIR", help="where its runs go; default: runs/claims/NAME")

    made = verb("show", show, "Tell what a run was, how far it got, what it cost and where it came from.")
    made.add_argument("run", type=Path, metavar="RUN", help="the folder of a run, or a result.h5")
    made.add_argument("--history", action="store_true", help="print the history as a table")

    made = verb("topology", topology, "Tell degrees and spectrum of a topology, and which strategies it suits; without a name: list them.")
    made.add_argument("name", nargs="?", metavar="NAME", help="a name, or a file: W itself, or an edge list")
    made.add_argument("-n", type=int, help="the number of agents; a file knows it")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="options",
                      help="a key of [topology], such as lazy=false")
    made.add_argument("--picture", type=Path, metavar="FILE", help="draw the graph into a .png, .pdf or .svg")

    made = verb("methods", methods, "List the methods with their keys, needs and messages, and the strategies.")
    made.add_argument("name", nargs="?", metavar="NAME", help="a method or strategy: print its equations")

    made = verb("data", data, "Fetch data sets by name: MNIST, Fashion-MNIST, australian, a9a, ijcnn1, covtype.")
    made.add_argument("action", choices=("list", "fetch", "path"), help="list them; fetch one; tell the folder of one that is here")
    made.add_argument("name", nargs="?", metavar="NAME", help="a data set: see mpidbo data list")
    made.add_argument("--url", help="a server that has the files under their names, in place of the usual ones")

    made = verb("doctor", doctor, "Look at MPI, HDF5, threads, GPU and packages of this machine; under mpiexec on all ranks.", alone=False)
    made.add_argument("--folder", type=Path, metavar="DIR", help="where to try writing files; default: the system's temporary folder")
