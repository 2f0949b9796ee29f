"""The first run: eight agents on a ring, four in ten of whose labels are wrong, find out which.

    make demo                                     or
    python examples/demo.py [--iterations N] [--ranks N] [--seed N] [--out FOLDER]

It starts what a user would start, `mpiexec -n 4 mpidbo run examples/demo.toml`, without cleaning and with it, and compares.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy.optimize import minimize

from mpidbo import UserError
from mpidbo.network import topology as topologies
from mpidbo.problems.hyper_cleaning import HyperCleaning
from mpidbo.reports import curves as plots
from mpidbo.storage.files import read_arrays
from mpidbo.storage.load import Archive, read

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "examples" / "demo.toml"
TABLES = tomllib.loads(CONFIG.read_text())
N = TABLES["run"]["agents"]
RUNS = {"without cleaning": ("without-cleaning", ["--set", "steps.alpha=0"]), "with cleaning": ("with-cleaning", [])}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--iterations", type=int, default=TABLES["run"]["iterations"])
    parser.add_argument("--ranks", type=int, default=4, help="processes over which the agents are spread (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="another split of the images, other wrong labels, other draws")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "demo", help="default: runs/demo")
    args = parser.parse_args()
    try:
        agents = [HyperCleaning(i, N, xp=np, seed=args.seed, **options()) for i in range(N)]
        introduce(agents)
        start, ranks = launcher(args.ranks)
        say_where(ranks)
        past = {}
        for number, (name, (folder, changes)) in enumerate(RUNS.items(), 1):
            explain(number, name)
            settings = ["--set", f"run.iterations={args.iterations}", "--set", f"run.seed={args.seed}"] if (
                args.iterations, args.seed) != (TABLES["run"]["iterations"], 0) else []
            code = launch([*start, "run", short(CONFIG), *changes, *settings, "--out", short(args.out / folder)], args.out / folder)
            if code:
                print(f"\nthe run ended with exit code {code}; what went wrong stands above", file=sys.stderr)
                return code
            past[name] = read(args.out / folder)
        wrong, weights = learned(agents, args.out / RUNS["with cleaning"][0])
        compare(past, wrong, weights, sure_alone(agents))
        picture(past, wrong, weights, args.out / "cleaning.png")
        folders = [short(args.out / folder) for folder, _ in RUNS.values()]
        print(f"\nTo go on:\n   {start[-1]} show {folders[1]}\n   {start[-1]} plot {' '.join(folders)}"
              f"\n   examples/demo.toml is the whole experiment; examples/README.md tells of the others")
    except UserError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def options() -> dict:
    return {key: value for key, value in TABLES["problem"].items() if key != "name"}


def short(path: Path) -> str:
    """A path as one would type it in the root of the repository, where the runs are started."""
    path = Path(os.path.abspath(path))
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def launcher(ranks: int) -> tuple[list[str], int]:
    """(how a command line with mpidbo begins, on how many ranks): mpiexec beside this Python or on the path, or none."""
    program = Path(sys.executable).with_name("mpidbo")
    mpidbo = [short(program)] if program.exists() else [sys.executable, "-m", "mpidbo"]
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("mpiexec")
    if ranks < 2:
        return mpidbo, 1
    if found is None:
        print("\nNo mpiexec was found, neither beside this Python nor on the path; to get one: pip install mpidbo[mpich]")
        return mpidbo, 1
    openmpi = "mpich" not in (told := subprocess.run([found, "--version"], capture_output=True, text=True).stdout.lower()) and (
        "open" in told or "prte" in told)
    if openmpi:  # ranks may outnumber cores, and containers often have no user but root
        os.environ |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return [short(Path(found)), *(["--oversubscribe", "--bind-to", "none"] if openmpi else []), "-n", str(ranks), *mpidbo], ranks


def introduce(agents: list[HyperCleaning]) -> None:
    W = topologies.make(TABLES["topology"], N).W
    labels = sum(len(agent.train) for agent in agents)
    share = sum(agent.corrupted.sum() for agent in agents) / labels
    print(f"""
{N} agents hold {labels} labelled images of handwritten digits, each agent its own, and {share:.0%} of the labels are wrong.
Each also has a few images with labels that are surely right. Together they train one classifier and learn how far to
trust every single label: a bilevel problem. Nobody sees all the data: an agent sends numbers, never an image or a label,
and only to its neighbours on a ring.

  agent   talks to   labels   wrong   surely right   right labels of each digit, 0 to 9""")
    for i, agent in enumerate(agents):
        neighbours = ", ".join(str(j) for j in sorted(W.indices[W.indptr[i]:W.indptr[i + 1]]) if j != i)
        counts = np.bincount(agent.train.labels[~agent.corrupted], minlength=10)
        print(f"  {i:^5}   {neighbours:<8}   {len(agent.train):>6}   {agent.corrupted.sum():>5}   {len(agent.validation):>12}"
              f"   {' '.join(f'{count:>2}' for count in counts)}")
    print("\n  No two agents have the same mixture of digits, which is what makes it hard.")


def say_where(ranks: int) -> None:
    if ranks == 1:
        print("\nAll agents live in one process, without MPI: the numbers come out the same, to the bit.")
        return
    first = [rank * N // ranks for rank in range(ranks + 1)]
    hosts = "   ".join(f"rank {rank}: {'-'.join(map(str, range(*first[rank:rank + 2])))}" for rank in range(ranks))
    print(f"\nOn {ranks} MPI processes:   {hosts}   (and {N - 1} talks to 0)")


def explain(number: int, name: str) -> None:
    print(f"\n{number}. {name.capitalize()}: " + (
        "every label counts the same (steps.alpha = 0: the weights stay as they are)." if number == 1 else
        "the same, and the weight of each label goes where it lowers the loss on the labels that are surely right."))


def launch(line: list[str], folder: Path) -> int:
    """Run a command line, its output shortened to what matters here; its exit code."""
    if (folder / "config.toml").is_file():
        shutil.rmtree(folder)  # of an earlier demo
    print(f"\n   $ {shlex.join(line)}\n", flush=True)
    began = perf_counter()
    with subprocess.Popen(line, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        for text in process.stdout:
            words = text.split()
            if words[:1] == ["iteration"]:
                row = dict(zip(words[::2], words[1::2], strict=False))
                print(f"     iteration {row['iteration']:>5}   test accuracy {float(row['test_accuracy']):6.1%}"
                      f"   AUC {float(row['auc']):.3f}", flush=True)
            elif words[:1] == ["mpidbo:"]:
                print(f"     {text.rstrip()}")
    if process.returncode == 0:
        print(f"     finished after {perf_counter() - began:.0f} s: {short(folder)}")
    return process.returncode


def learned(agents: list[HyperCleaning], folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(which labels are wrong, the weight that each got between 0 and 1), over all agents."""
    x = read_arrays(folder / "result.h5")[0]["x"].mean(axis=0)
    return np.concatenate([agent.corrupted for agent in agents]), 1 / (1 + np.exp(-x))


def sure_alone(agents: list[HyperCleaning]) -> float:
    """The test accuracy of a classifier trained on nothing but the labels that are surely right, of all agents in one place."""
    classifier = agents[0].classifier
    X, labels = (np.concatenate([getattr(agent.validation, name) for agent in agents]) for name in ("X", "labels"))

    def loss(y: np.ndarray) -> tuple[float, np.ndarray]:
        ridge = agents[0].ridge
        return classifier.losses(y, X, labels).mean() + ridge * y @ y, classifier.grad(y, X, labels, 1 / len(labels)) + 2 * ridge * y

    y = minimize(loss, agents[0].start()[1], jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x
    return float(np.mean([agent.metrics(np.zeros(agent.dims[0]), y)["test_accuracy"] for agent in agents]))


def compare(past: dict[str, Archive], wrong: np.ndarray, weights: np.ndarray, sure: float) -> None:
    print("\nWhat came out (the digits of the test were seen by nobody):\n"
          "\n                      test accuracy   best along the way   AUC")
    for name, run in past.items():
        accuracy = run.history["test_accuracy"]
        print(f"   {name:<18} {accuracy[-1]:>13.1%} {accuracy.max():>20.1%}   {run.history['auc'][-1]:.3f}")
    print(f"   with the {TABLES['problem']['n_validation']} labels that are surely right alone, in one place: {sure:.1%}")
    print("\n   AUC: how often a right label weighs more than a wrong one of the same agent; 0.5 is guessing.\n"
          "\n   weight        right labels                       wrong labels")
    for low in (0, 0.2, 0.4, 0.6, 0.8):
        inside = (weights >= low) & (weights < low + 0.2 if low < 0.8 else True)
        bars = [f"{(inside & kind).sum():>4} {'#' * round(28 * (inside & kind).sum() / kind.sum()):<28}" for kind in (~wrong, wrong)]
        print(f"   {low:.1f} to {low + 0.2:.1f}  {'  '.join(bars)}".rstrip())
    history = past["with cleaning"].history
    floats, messages = int(history["floats"][-1]), int(history["messages"][-1])
    print(f"\n   Sent with cleaning: {floats:,} floats in {messages:,} messages over all agents, all of them between neighbours.")


def picture(past: dict[str, Archive], wrong: np.ndarray, weights: np.ndarray, path: Path) -> None:
    """Accuracy and AUC along the way, and the weights at the end."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("   No figure: matplotlib is not installed (pip install mpidbo[plot]).")
        return
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    accuracy, auc, histogram = figure.subplots(1, 3)
    for (name, run), color in zip(past.items(), (plots.COLORS[1], plots.COLORS[0]), strict=True):
        for ax, metric in ((accuracy, "test_accuracy"), (auc, "auc")):
            ax.plot(run.history["iteration"], run.history[metric], color=color, label=name)
    for ax, label in ((accuracy, "test accuracy"), (auc, "AUC of the labels' weights")):
        ax.set(xlabel="iterations", ylabel=label)
        ax.grid(True, color="0.9")
    accuracy.set_ylim(bottom=max(0.0, min(run.history["test_accuracy"][1:].min() for run in past.values()) - 0.05))
    accuracy.legend(frameon=False, loc="lower right")
    kinds = {"right labels": weights[~wrong], "wrong labels": weights[wrong]}
    histogram.hist(kinds.values(), bins=np.linspace(0, 1, 11), color=[plots.COLORS[2], plots.COLORS[3]],
                   label=[f"{name} ({len(values)})" for name, values in kinds.items()])
    histogram.set(xlabel="learned weight", ylabel="labels")
    histogram.legend(frameon=False, loc="upper center")
    for ax in (accuracy, auc, histogram):
        ax.spines[["top", "right"]].set_visible(False)
    plots.save(figure, path)
    print(f"   The figure: {short(path)}")


if __name__ == "__main__":
    sys.exit(main())
