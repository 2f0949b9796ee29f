"""`mpidbo new`: a folder to start from.

Its files come from the folder templates, where a line `@part` is replaced by the file part.txt;
its job script is that of `mpidbo jobscript slurm`.
"""

import re
from argparse import ArgumentParser, Namespace
from importlib.resources import files as resources
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import NamedTuple

from ...errors import UserError, shown
from ..jobscript import command as jobscript
from ..jobscript.render import script


class Framework(NamedTuple):
    """What the losses of a new folder are written in.

    Parameters
    ----------
    name : str
        Its name.
    what : str
        What there is to change in losses.py.
    needs : str
        A sentence of the README about what else is to be installed.
    """

    name: str
    what: str
    needs: str = ""


LOSSES = "the two losses `f` and `g`"
FRAMEWORKS = {
    "torch": Framework("PyTorch", LOSSES, " PyTorch: `pip install 'mpidbo[torch]'`."),
    "jax": Framework("JAX", LOSSES, " JAX: `pip install 'mpidbo[jax]'`."),
    "numpy": Framework("NumPy", f"{LOSSES} and their derivatives"),
}
"""Module -> framework; without `--framework` the first that is installed is used."""
EXTRAS = {"torch": "torch", "jax": "jax", "sklearn": "data"}
"""Module that a new folder may need -> the extra that installs it."""
NEXT_STEPS = """\
    cd {folder}
    mpidbo check losses.py:problem
    mpiexec -n 4 mpidbo run config.toml
    sbatch job.sbatch"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `mpidbo new`."""
    parser.set_defaults(call=new)
    parser.add_argument("name", metavar="NAME", help="the folder's name")
    parser.add_argument(
        "--framework",
        choices=FRAMEWORKS,
        help="what the losses are written in; default: the first that is installed",
    )


def new(args: Namespace, comm: None) -> int:
    """Make the folder and print what to do next."""
    module = args.framework or next(name for name in FRAMEWORKS if _installed(name))
    folder = make_folder(args.name, module)
    if args.framework:
        chosen = f"--framework {module}"
    else:
        chosen = f"which is installed; --framework {'|'.join(FRAMEWORKS)} chooses"
    print(
        f"{folder.name}: losses.py (in {FRAMEWORKS[module].name}, {chosen}), "
        "config.toml, job.sbatch, README.md\n"
    )
    for needed in (module, "sklearn"):
        if not _installed(needed):
            extra = EXTRAS[needed]
            print(f"    pip install 'mpidbo[{extra}]'    # {needed} is not installed here")
    print(NEXT_STEPS.format(folder=folder.name))
    return 0


def make_folder(name: str, framework: str) -> Path:
    """Make the folder in the working folder.

    Raises
    ------
    UserError
        If the name is not that of a folder or exists already, or nothing can be written.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(
            f"new: {shown(name)} is not a name for a folder; "
            "use letters, digits, - _ and ., such as my-study"
        )
    folder = Path(name).absolute()
    try:
        folder.mkdir()
        for file, text in files_of(name, framework).items():
            (folder / file).write_text(text, encoding="utf-8")
        job = _job_script(name, folder / "config.toml")
        (folder / "job.sbatch").write_text(job, encoding="utf-8")
    except FileExistsError:
        raise UserError(f"new: {folder} exists already; choose another name") from None
    except OSError as error:
        raise UserError(
            f"new: {folder} cannot be made ({error.strerror}); choose another name or folder"
        ) from None
    return folder


def files_of(name: str, framework: str) -> dict[str, str]:
    """The files but the job script: name -> text."""
    about = FRAMEWORKS[framework]
    readme = Template(_template("README.md")).substitute(
        name=name, framework=about.name, what=about.what, needs=about.needs
    )
    return {
        "losses.py": _template(f"{framework}.txt"),
        "config.toml": _template("config.toml"),
        "README.md": readme,
    }


def _template(file: str) -> str:
    """A template, with the parts in place of their names."""
    text = (resources(__package__) / "templates" / file).read_text(encoding="utf-8")
    return re.sub(r"^@(\w+)\n", lambda part: _template(f"{part[1]}.txt"), text, flags=re.MULTILINE)


def _job_script(name: str, config: Path) -> str:
    """The job script for a configuration, which must exist."""
    parser = ArgumentParser()
    jobscript.add_arguments(parser)
    return script(jobscript.job_of(parser.parse_args(["slurm", f"--name={name}", str(config)])))


def _installed(module: str) -> bool:
    """Whether a module can be imported."""
    return find_spec(module) is not None
