"""Words of a command line that the program does not know: what to write instead."""

import os
import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from ..errors import UserError, did_you_mean, folded, shown

SYNONYMS = {
    "run": "train start launch solve execute resume continue restart fit go optimize minimize",
    "new": "init create scaffold template",
    "where": "path locate",
    "jobscript": "sbatch slurm submit batch job qsub",
    "check": "verify validate gradcheck check_grad problem problems",
    "plot": "figure draw curves graph_curves",
    "compare": "study sweep benchmark grid ablation experiment experiments",
    "reproduce": "claim claims replicate paper",
    "show": "status info summary result results history log logs inspect describe view cat ls",
    "topology": "graph graphs network topologies mixing",
    "methods": "method algorithm algorithms strategy strategies solvers",
    "data": "download fetch dataset datasets",
    "doctor": "diagnose test selftest env environment",
    "tune": "tuning hpo search autotune lr_find",
    "report": "html dashboard serve tensorboard",
}
"""Command -> what other programs call it."""
LISTS = "methods, topology, check and data list, without further words, what there is"
PROCESSES = (
    "-n -np --np --n --nproc --nprocs --ntasks --processes --num-processes --nproc-per-node "
    "--ranks --workers --num-workers -c -j --jobs"
)
"""Options by which launchers and other programs start processes."""
QUIET = "--quiet -q --silent --no-progress"
VERBOSE = "--verbose -v -vv --debug --log-level --verbosity"
PROGRESS = "--progress --progress-bar --show-progress --pbar --tqdm"
"""Options by which other programs print less, more, or how far they are."""


def unknown_command(word: str, rest: Sequence[str], commands: Collection[str]) -> UserError:
    """What is wrong with a first word that is no command.

    Parameters
    ----------
    word : str
        The word.
    rest : sequence of str
        The words after it.
    commands : collection of str
        The commands.
    """
    wanted = folded(word)
    for known, words in SYNONYMS.items():
        if known in commands and wanted in map(folded, (known, *words.split())):
            return UserError(f"{word}: no such command; it is {_line([known, *rest])}")
    if wanted in ("help", "version"):
        return UserError(f"{word}: no such command; it is mpidbo --{wanted}")
    if wanted in ("list", "ls"):
        return UserError(f"{word}: no such command; {LISTS}")
    command = {".toml": "run", ".py": "check", ".h5": "show"}.get(Path(word).suffix)
    if command or os.path.isdir(word):
        return UserError(
            f"{word}: a file is not a command; write {_line([command or 'show', word, *rest])}"
        )
    return UserError(f"{word}: no such command; {did_you_mean(word, commands)}")


def check_processes(words: Sequence[str]) -> None:
    """Raise UserError where a command is to start processes, which MPI's launcher does."""
    for i, word in enumerate(words):
        option, equals, value = word.partition("=")
        attached = re.fullmatch(r"(-n)([0-9]+)", word)
        if attached:
            option, equals, value = attached[1], "=", attached[2]
        if option.replace("_", "-") not in PROCESSES.split():
            continue
        after = i + 1
        if not equals and after < len(words) and words[after].isdigit():
            value, after = words[after], i + 2
        n = value or "4"
        raise UserError(
            f"{word}: MPI's launcher starts the processes; write mpiexec -n {n} "
            f"{_line([*words[:i], *words[after:]])} (the number of agents is --set run.agents={n})"
        )


def unknown_argument(name: str, argument: str, words: Sequence[str], help: str) -> UserError:
    """What is wrong with an argument that a command does not take.

    Parameters
    ----------
    name : str
        The command.
    argument : str
        The argument.
    words : sequence of str
        All words of the command line.
    help : str
        The help of the command, which lists its options.
    """
    word, equals, value = argument.partition("=")
    after = [*words].index(argument) + 1
    if not equals and after < len(words) and not words[after].startswith("-"):
        value = words[after]
    if not word.startswith("-"):
        remedy = f"see mpidbo {name} --help"
        if equals and "--set" in help:
            remedy = f"values are set by --set: write {_set(argument, help)}"
        return UserError(f"{name}: {shown(argument)} is one argument too many; {remedy}")
    output = _of_output(name, word)
    if output:
        return UserError(f"{name}: no option is called {word}; {output}")
    options = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", help)
    remedy = did_you_mean(word, options)
    if "SECTION.KEY" in help:
        # Here, since a command without mistakes need not wait for it.
        from ..config import keys_of, set_argument

        key = word.strip("-").replace("-", "_")
        is_key = any(key in keys_of(section) for section in ("run", "steps", "checkpoint"))
        example = set_argument(key, value)
        if example and (is_key or not remedy.startswith("did")):
            remedy = f"write {example}"
    if not remedy.startswith(("did", "write")):
        remedy = f"see mpidbo {name} --help"
    return UserError(f"{name}: no option is called {word}; {remedy}")


def _set(argument: str, help: str) -> str:
    """How a command sets a value that was given as KEY=VALUE."""
    key, _, value = argument.partition("=")
    if "SECTION.KEY" in help and "." not in key:
        # Here, since a command without mistakes need not wait for it.
        from ..config import set_argument

        return set_argument(key, value) or f"--set SECTION.{argument}"
    return shlex.join(["--set", argument])


def _of_output(name: str, option: str) -> str:
    """What to do in place of an option that changes what is printed; "" for another option."""
    word = option.replace("_", "-").casefold()
    if word in QUIET.split():
        return f"write what it prints to a file: mpidbo {name} ... > {name}.log 2>&1"
    if word in VERBOSE.split() and name == "run":
        return (
            "a run prints a line at each evaluation (more of them: --set run.evaluate_every=10), "
            "and mpidbo show RUN prints the rest"
        )
    if word in PROGRESS.split() and name == "run":
        return "without it, a run shows a bar on a terminal and prints lines elsewhere"
    if word in (*VERBOSE.split(), *PROGRESS.split()):
        return f"without it, {name} prints all that it has to say"
    return ""


def _line(words: Iterable[str]) -> str:
    return shlex.join(["mpidbo", *words])
