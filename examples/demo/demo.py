"""The first run: eight agents on a ring, four in ten of whose labels are wrong, find out which.

    make demo                                     or
    python examples/demo/demo.py [--iterations N] [--ranks N] [--seed N] [--out FOLDER]

It starts `mpiexec -n 4 mpidbo run examples/demo/demo.toml`, as a user would, without cleaning and
with it, and then with cleaning and without stopping, and compares the three.
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

from mpidbo import UserError, reports
from mpidbo import network as topologies
from mpidbo.problems.data.shares import Samples
from mpidbo.problems.hyper_cleaning import HyperCleaning
from mpidbo.problems.samples import Batch
from mpidbo.storage import Saved, read_run

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "examples" / "demo" / "demo.toml"
TABLES = tomllib.loads(CONFIG.read_text())
N = TABLES["run"]["agents"]
RUNS = {
    "without cleaning": ("without-cleaning", ["--set", "steps.alpha=0"]),
    "with cleaning": ("with-cleaning", []),
    "not stopped": ("not-stopped", ["--set", "run.stop=[]"]),
}
WHAT = {
    "without cleaning": "every label counts the same (steps.alpha = 0: the weights stay as they "
    "are).",
    "with cleaning": "the same, and the weight of each label goes where it lowers the loss on the "
    "labels that are surely right.",
    "not stopped": "cleaning again, to the last iteration, to see what stopping gained.",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--iterations", type=int, default=TABLES["run"]["iterations"])
    parser.add_argument(
        "--ranks",
        type=int,
        default=4,
        help="processes over which the agents are spread (default 4)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="another split of the images, other wrong labels, other draws",
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "runs" / "demo", help="default: runs/demo"
    )
    args = parser.parse_args()
    try:
        agents = [HyperCleaning(i, N, xp=np, seed=args.seed, **options()) for i in range(N)]
        introduce(agents)
        start, ranks = launcher(args.ranks)
        say_where(ranks)
        past = {}
        for number, (name, (folder, changes)) in enumerate(RUNS.items(), 1):
            explain(number, name)
            settings = []
            if (args.iterations, args.seed) != (TABLES["run"]["iterations"], 0):
                settings = ["--set", f"run.iterations={args.iterations}"]
                settings += ["--set", f"run.seed={args.seed}"]
            out = ["--out", short(args.out / folder)]
            line = [*start, "run", short(CONFIG), *changes, *settings, *out]
            code = launch(line, args.out / folder)
            if code:
                print(
                    f"\nthe run ended with exit code {code}; the error is shown above",
                    file=sys.stderr,
                )
                return code
            past[name] = read_run(args.out / folder)
        wrong, weights = learned(agents, past["with cleaning"])
        compare(past, wrong, weights, sure_alone(agents))
        picture(past, wrong, weights, args.out / "cleaning.png")
        folders = [short(run.path) for run in past.values()]
        print(
            f"\nNext steps:\n   {start[-1]} show {folders[1]}\n   {start[-1]} plot "
            f"{' '.join(folders)}"
            "\n   examples/demo/demo.toml is the whole experiment; examples/README.md lists the "
            "others"
        )
    except UserError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def options() -> dict:
    return {key: value for key, value in TABLES["problem"].items() if key != "name"}


def short(path: Path) -> str:
    """A path relative to the root of the repository, where the runs are started."""
    path = Path(os.path.abspath(path))
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def launcher(ranks: int) -> tuple[list[str], int]:
    """The beginning of a command line with mpidbo, and its number of ranks.

    mpiexec is the one beside this Python or on the path; without one there is a single process.
    """
    program = Path(sys.executable).with_name("mpidbo")
    mpidbo = [short(program)] if program.exists() else [sys.executable, "-m", "mpidbo"]
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("mpiexec")
    if ranks < 2:
        return mpidbo, 1
    if found is None:
        print(
            "\nNo mpiexec was found, neither beside this Python nor on the path; to get one: pip "
            "install mpidbo[mpich]"
        )
        return mpidbo, 1
    version = subprocess.run([found, "--version"], capture_output=True, text=True).stdout.lower()
    openmpi = "mpich" not in version and ("open" in version or "prte" in version)
    if openmpi:  # ranks may outnumber cores, and containers often have no user but root
        os.environ |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    options = ["--oversubscribe", "--bind-to", "none"] if openmpi else []
    return [short(Path(found)), *options, "-n", str(ranks), *mpidbo], ranks


def introduce(agents: list[HyperCleaning]) -> None:
    W = topologies.make(TABLES["topology"], N).W
    labels = sum(len(agent.train) for agent in agents)
    share = sum(agent.corrupted.sum() for agent in agents) / labels
    print(f"""
{N} agents hold {labels} labelled images of handwritten digits, each agent its own, and
{share:.0%} of the labels are wrong. Each also has a few images with labels that are surely right.
Together they train one classifier and learn how far to trust every single label: a bilevel problem.
Nobody sees all the data: an agent sends numbers, never an image or a label, and only to its
neighbours on a ring.

  agent   talks to   labels   wrong   surely right   right labels of each digit, 0 to 9""")
    for i, agent in enumerate(agents):
        neighbours = ", ".join(
            str(j) for j in sorted(W.indices[W.indptr[i] : W.indptr[i + 1]]) if j != i
        )
        counts = np.bincount(agent.train.labels[~agent.corrupted], minlength=10)
        print(
            f"  {i:^5}   {neighbours:<8}   {len(agent.train):>6}   {agent.corrupted.sum():>5}   "
            f"{len(agent.validation) + len(agent.held_out):>12}"
            f"   {' '.join(f'{count:>2}' for count in counts)}"
        )
    print("\n  No two agents have the same mixture of digits, which is what makes it hard.")


def say_where(ranks: int) -> None:
    if ranks == 1:
        print("\nAll agents are in one process, without MPI: the numbers are the same, to the bit.")
        return
    first = [rank * N // ranks for rank in range(ranks + 1)]
    hosts = "   ".join(
        f"rank {rank}: {'-'.join(map(str, range(*first[rank : rank + 2])))}"
        for rank in range(ranks)
    )
    print(f"\nOn {ranks} MPI processes:   {hosts}   (and {N - 1} talks to 0)")


def explain(number: int, name: str) -> None:
    print(f"\n{number}. {name.capitalize()}: {WHAT[name]}")


def launch(line: list[str], folder: Path) -> int:
    """Run a command line, print the important part of its output, and return its exit code."""
    if (folder / "config.toml").is_file():
        shutil.rmtree(folder)  # of an earlier demo
    print(f"\n   $ {shlex.join(line)}\n", flush=True)
    began, shown = perf_counter(), -100
    with subprocess.Popen(
        line, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        for text in process.stdout:
            words = text.split()
            if words[:1] == ["iteration"]:
                if int(words[1]) < shown + 100:
                    continue
                shown = int(words[1])
                row = dict(zip(words[::2], words[1::2], strict=False))
                print(
                    f"     iteration {row['iteration']:>5}   test accuracy "
                    f"{float(row['test_accuracy']):6.1%}"
                    f"   AUC {float(row['auc']):.3f}",
                    flush=True,
                )
            elif words[:1] in (["mpidbo:"], ["best"]) or words[1:2] == ["iterations"]:
                print(f"     {text.rstrip()}", flush=True)
    if process.returncode == 0:
        print(f"     finished after {perf_counter() - began:.0f} s: {short(folder)}")
    return process.returncode


def learned(agents: list[HyperCleaning], run: Saved) -> tuple[np.ndarray, np.ndarray]:
    """The mask of wrong labels, and the learned weights in (0, 1), of all agents."""
    return np.concatenate([agent.corrupted for agent in agents]), 1 / (
        1 + np.exp(-run.best.means["x"])
    )


def at_best(run: Saved, metric: str) -> float:
    """A metric at the best iterate by the images that are held out."""
    return float(run.columns[metric][run.columns["iteration"] == run.best.iteration][0])


def sure_alone(agents: list[HyperCleaning]) -> float:
    """The test accuracy of a classifier trained on the surely right labels alone, in one place."""
    classifier = agents[0].classifier
    right = [part for agent in agents for part in (agent.validation, agent.held_out)]
    X, labels = (
        np.concatenate([getattr(part, name) for part in right]) for name in ("X", "labels")
    )
    batch = Batch.of_one(np, Samples(X, labels))

    def loss(y: np.ndarray) -> tuple[float, np.ndarray]:
        ridge = agents[0].ridge
        value = classifier.losses(y[None], batch).mean() + ridge * y @ y
        gradient = classifier.grad(y[None], batch, 1 / len(labels))[0] + 2 * ridge * y
        return value, gradient

    y = minimize(
        loss, agents[0].start()[1], jac=True, method="L-BFGS-B", options={"maxiter": 1000}
    ).x
    return float(
        np.mean([agent.metrics(np.zeros(agent.dims[0]), y)["test_accuracy"] for agent in agents])
    )


def compare(past: dict[str, Saved], wrong: np.ndarray, weights: np.ndarray, sure: float) -> None:
    print(
        "\nWhat came out (the digits of the test were seen by nobody):\n"
        "\n                      iterations   test accuracy   AUC"
    )
    for name in ("without cleaning", "with cleaning"):
        run = past[name]
        print(
            f"   {name:<18} {run.iteration:>10} {at_best(run, 'test_accuracy'):>15.1%}   "
            f"{at_best(run, 'auc'):.3f}   at the best iterate, {run.best.iteration}"
        )
    end = past["not stopped"]
    accuracy, auc = (float(end.columns[metric][-1]) for metric in ("test_accuracy", "auc"))
    print(f"   {'not stopped':<18} {end.iteration:>10} {accuracy:>15.1%}   {auc:.3f}   at the end")
    print(
        f"   with the {TABLES['problem']['n_validation']} labels that are surely right alone, in "
        f"one place: {sure:.1%}"
    )
    kept = past["with cleaning"]
    points = 100 * (at_best(kept, "test_accuracy") - accuracy)
    print(
        f"\n   The best iterate, chosen by the labels that were held out, against the last one:\n"
        f"   {points:+.1f} points of test accuracy, {at_best(kept, 'auc') - auc:+.3f} AUC, after "
        f"{kept.iteration / end.iteration:.0%} of the iterations."
    )
    print(
        "\n   AUC: how often a right label weighs more than a wrong one of the same agent; 0.5 is "
        "guessing.\n"
        "\n   weight        right labels                       wrong labels"
    )
    for low in (0, 0.2, 0.4, 0.6, 0.8):
        inside = (weights >= low) & (weights < low + 0.2 if low < 0.8 else True)
        bars = [
            f"{(inside & kind).sum():>4} {'#' * round(28 * (inside & kind).sum() / kind.sum()):<28}"
            for kind in (~wrong, wrong)
        ]
        print(f"   {low:.1f} to {low + 0.2:.1f}  {'  '.join(bars)}".rstrip())
    history = past["with cleaning"].columns
    floats, messages = int(history["floats"][-1]), int(history["messages"][-1])
    print(
        f"\n   Sent with cleaning: {floats:,} floats in {messages:,} messages over all agents, all "
        "of them between neighbours."
    )


def picture(past: dict[str, Saved], wrong: np.ndarray, weights: np.ndarray, path: Path) -> None:
    """Draw accuracy and AUC over iterations, and the weights at the end."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("   No figure: matplotlib is not installed (pip install mpidbo[plot]).")
        return
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    accuracy, auc, histogram = figure.subplots(1, 3)
    lines = {"without cleaning": (1, "-"), "with cleaning": (0, "-"), "not stopped": (0, ":")}
    for name, run in past.items():
        color, line = lines[name]
        for ax, metric in ((accuracy, "test_accuracy"), (auc, "auc")):
            x, y = run.columns["iteration"], run.columns[metric]
            ax.plot(x, y, line, color=reports.COLORS[color], label=name)
    for ax, label in ((accuracy, "test accuracy"), (auc, "AUC of the labels' weights")):
        ax.set(xlabel="iterations", ylabel=label)
        ax.grid(True, color="0.9")
    accuracy.set_ylim(
        bottom=max(0.0, min(run.columns["test_accuracy"][1:].min() for run in past.values()) - 0.05)
    )
    accuracy.legend(frameon=False, loc="lower right")
    kinds = {"right labels": weights[~wrong], "wrong labels": weights[wrong]}
    histogram.hist(
        kinds.values(),
        bins=np.linspace(0, 1, 11),
        color=[reports.COLORS[2], reports.COLORS[3]],
        label=[f"{name} ({len(values)})" for name, values in kinds.items()],
    )
    histogram.set(xlabel="learned weight", ylabel="labels")
    histogram.legend(frameon=False, loc="upper center")
    for ax in (accuracy, auc, histogram):
        ax.spines[["top", "right"]].set_visible(False)
    reports.save(figure, path)
    print(f"   The figure: {short(path)}")


if __name__ == "__main__":
    sys.exit(main())
