"""The command `mpidbo new`: a folder to start from.

Its files are the templates in mpidbo/cli/new/templates, where a line `@part` stands for the file part.txt; its job script is that of
`mpidbo jobscript slurm`.
"""

import argparse
import re
from collections.abc import Callable
from importlib.resources import files as resources
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from ...errors import UserError, shown
from ..jobscript import command as jobscripts
from ..jobscript import render as batch


class Framework(NamedTuple):
    """What a starter's losses are written in: its name, what there is to change, and what else is to be installed."""

    name: str
    what: str
    needs: str = ""


LOSSES = "the two losses `f` and `g`"
FRAMEWORKS = {
    "torch": Framework("PyTorch", LOSSES, " PyTorch: `pip install 'mpidbo[torch]'`."),
    "jax": Framework("JAX", LOSSES, " JAX: `pip install 'mpidbo[jax]'`."),
    "numpy": Framework("NumPy", f"{LOSSES} and their derivatives"),
}
"""In the order in which the first that is installed is taken."""


def add(verb: Callable[..., argparse.ArgumentParser]) -> None:
    made = verb("new", new, "Make a folder to start from: two losses, a configuration, a job script; it runs as it is.")
    made.add_argument("name", metavar="NAME", help="the folder's name")
    made.add_argument("--framework", choices=FRAMEWORKS, help="what the losses are written in; default: the first that is installed")


def new(args: argparse.Namespace, comm: None) -> int:
    """Make the folder, and say what to do with it."""
    name = args.framework or next(name for name in FRAMEWORKS if _installed(name))
    framework = FRAMEWORKS[name]
    folder = made(args.name, name)
    chosen = f"--framework {name}" if args.framework else f"which is installed; --framework {'|'.join(FRAMEWORKS)} chooses"
    print(f"{folder.name}: losses.py (in {framework.name}, {chosen}), config.toml, job.sbatch, README.md\n")
    for missing in (module for module in (name, "sklearn") if not _installed(module)):
        extra = {"sklearn": "data"}.get(missing, missing)
        print(f"    pip install 'mpidbo[{extra}]'    # {missing} is not installed here")
    print(f"    cd {folder.name}\n    mpidbo check losses.py:problem\n    mpiexec -n 4 mpidbo run config.toml\n    sbatch job.sbatch")
    return 0


def made(name: str, framework: str) -> Path:
    """The new folder, in the working folder. UserError: a name that is none, or taken, or where nothing can be written."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"new: {shown(name)} is no name of a folder; use letters, digits, - _ and ., such as my-study")
    folder = Path(name).absolute()
    try:
        folder.mkdir()
        for file, text in texts(name, framework).items():
            (folder / file).write_text(text, encoding="utf-8")
        (folder / "job.sbatch").write_text(_job(name, folder / "config.toml"), encoding="utf-8")
    except FileExistsError:
        raise UserError(f"new: {folder} exists already; choose another name") from None
    except OSError as error:
        raise UserError(f"new: {folder} cannot be made ({error.strerror}); choose another name or folder") from None
    return folder


def texts(name: str, framework: str) -> dict[str, str]:
    """The files but the job script: name -> text."""
    about: dict[str, Any] = FRAMEWORKS[framework]._asdict()
    readme = Template(_template("README.md")).substitute(name=name, framework=about["name"], what=about["what"], needs=about["needs"])
    return {"losses.py": _template(f"{framework}.txt"), "config.toml": _template("config.toml"), "README.md": readme}


def _template(file: str) -> str:
    text = (resources(__package__) / "templates" / file).read_text(encoding="utf-8")
    return re.sub(r"^@(\w+)\n", lambda part: _template(f"{part[1]}.txt"), text, flags=re.MULTILINE)


def _job(name: str, config: Path) -> str:
    parser = argparse.ArgumentParser()
    jobscripts.add_arguments(parser)
    return batch.script(jobscripts.job_of(parser.parse_args(["slurm", f"--name={name}", str(config)])))


def _installed(module: str) -> bool:
    return find_spec(module) is not None
