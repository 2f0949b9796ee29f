"""Render job scripts: the files of jobscripts/, and the same ones filled in for a run.

Each script has a template in the folder templates. There, a line `@part` is replaced by the lines
that a function of `PARTS` makes, or else by the file part.sh; a line that begins with `@bare ` is
kept in the files of jobscripts/ alone, which name no configuration.
"""

import shlex
from collections.abc import Callable, Iterator
from importlib.resources import files as resources
from typing import NamedTuple

from ..._version import __version__
from .directives import directives
from .job import KINDS, Job


class Launcher(NamedTuple):
    """The launcher of a batch system: a hint for the user, and an expression of the shell."""

    hint: str
    expression: str


LAUNCHERS = {
    "slurm": Launcher(
        "srun uses the default of the site; otherwise SRUN_MPI=pmix (Open MPI) or SRUN_MPI=pmi2 "
        "(MPICH); see srun --mpi=list",
        '"srun${SRUN_MPI:+ --mpi=$SRUN_MPI}"',
    ),
    "pbs": Launcher(
        "An MPI without support for PBS needs the nodes: LAUNCH='mpiexec --hostfile ...'",
        '"mpiexec -n $(wc -l <"$PBS_NODEFILE")"',
    ),
    "lsf": Launcher(
        "An MPI without support for LSF needs the nodes: LAUNCH='mpirun --hostfile ...'",
        '"mpirun -n $LSB_DJOB_NUMPROC"',
    ),
    "flux": Launcher(
        "A rank on each slot of the job",
        '"flux run -N $nodes -n $ranks -c $cores"',
    ),
    "sge": Launcher(
        "An MPI without support for Grid Engine needs the nodes: "
        "LAUNCH='mpirun --hostfile ... -n 8'",
        '"mpirun -n $((NSLOTS / SLOTS_PER_RANK))"',
    ),
    "local": Launcher(
        "With more ranks than cores Open MPI needs LAUNCH='mpiexec --oversubscribe -n 8'",
        '"mpiexec -n $RANKS"',
    ),
}


SURVIVING = Launcher("That of Open MPI 5, on the nodes of the job", '"mpiexec --with-ft ulfm"')
"""The launcher of a run that continues when ranks die."""


def script(job: Job) -> str:
    """The text of the script of a job."""
    return "\n".join(_render(KINDS[job.kind].file, job)) + "\n"


def shipped() -> dict[str, str]:
    """The scripts in jobscripts/: name of the file -> its text."""
    texts = {}
    for name, kind in KINDS.items():
        gpus = 4 if name == "slurm-gpu" else 0
        texts[kind.file] = script(Job(name, gpus=gpus))
    return texts


def _render(file: str, job: Job) -> Iterator[str]:
    """The lines of a template, with the parts in place of their names."""
    template = resources(__package__) / "templates" / file
    for line in template.read_text(encoding="utf-8").splitlines():
        if line.startswith("@bare "):
            if not job.configs:
                yield line.removeprefix("@bare ")
        elif not line.startswith("@"):
            yield line
        elif line[1:] in PARTS:
            yield from PARTS[line[1:]](job)
        else:
            yield from _render(f"{line[1:]}.sh", job)


def _header(job: Job) -> Iterator[str]:
    if job.configs:
        yield f"# Written by mpidbo {__version__} for {', '.join(job.configs)}"
    else:
        yield "#"
        yield (
            "# Change the resources here or on the command line, which takes precedence. "
            "`mpidbo jobscript` fills in this file."
        )


def _mpidbo(job: Job) -> Iterator[str]:
    yield f"mpidbo=({shlex.join(job.program)})"


def _restarts(job: Job) -> Iterator[str]:
    yield f"MAX_RESTARTS=${{MAX_RESTARTS:-{job.restarts}}}"


def _ranks(job: Job) -> Iterator[str]:
    yield f"RANKS=${{RANKS:-{job.ranks}}}"


def _modules(job: Job) -> Iterator[str]:
    if job.modules:
        names = shlex.join(job.modules)
        yield f"module load {names} || exit 2"
    else:
        yield "# module purge"
        yield "# module load python/3.12 openmpi/5.0"


def _shape(job: Job) -> Iterator[str]:
    """Ranks and cores, of which a script under Flux or Grid Engine knows only the product."""
    if job.system == "sge":
        yield f"SLOTS_PER_RANK={job.cpus}"
        return
    yield f"nodes=$(flux getattr size) ranks=$((nodes * {job.tasks})) cores={job.cpus}"


def _launch(job: Job) -> Iterator[str]:
    """The launcher; LAUNCH and SRUN_MPI of the shell that writes the script are its defaults."""
    hint, expression = LAUNCHERS[job.system]
    if job.launch:
        expression = shlex.quote(job.launch)
    elif job.survive:
        hint, expression = SURVIVING
    elif job.mpi:
        expression = f'"srun --mpi=${{SRUN_MPI:-{job.mpi}}}"'
    elif job.system == "flux" and job.gpus:
        expression = f'{expression[:-1]} -g {job.gpus // job.tasks}"'
    yield f"# The launcher. {hint}."
    yield f'[ -n "${{LAUNCH:-}}" ] || LAUNCH={expression}'


def _rank_logs(job: Job) -> Iterator[str]:
    if not job.rank_logs:
        return
    number = "${SLURM_JOB_ID:-${PBS_JOBID:-${LSB_JOBID:-${JOB_ID:-$$}}}}"
    if job.system == "flux":
        number = "$(flux getattr jobid)"
    rank = "${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-${PMIX_RANK:-${FLUX_TASK_RANK:-$SLURM_PROCID}}}}"
    yield ""
    yield "# Each rank writes a log of its own, to which later starts append."
    yield f'RANK_LOGS="$PWD/{job.name}-{number}.ranks"'
    yield "export RANK_LOGS"
    yield 'mkdir -p "$RANK_LOGS" || exit 2'
    yield "# shellcheck disable=SC2016"
    yield f"""launcher+=(bash -c 'exec "$@" >>"$RANK_LOGS/{rank}.log" 2>&1' rank)"""
    yield 'say "the logs of the ranks: $RANK_LOGS"'


def _wait(job: Job) -> Iterator[str]:
    """When srun ends a step that some of its tasks have left, or a node."""
    if job.survive:
        yield (
            "export SLURM_WAIT=0 SLURM_KILL_BAD_EXIT=0 SLURM_NO_KILL=set   # mpiexec's daemons are "
            "a step of srun: it continues without a node"
        )
        return
    yield (
        "export SLURM_WAIT=${SLURM_WAIT:-60}                # a minute after its first rank the "
        "step ends: MPICH would wait for a killed one"
    )


def _verb(job: Job) -> Iterator[str]:
    yield f"verb={'compare' if job.kind == 'slurm-study' else 'run'}"


def _tasks(job: Job) -> Iterator[str]:
    """The number of tasks of an array, and which of them this is."""
    if job.kind == "slurm-study":
        parts = str(job.parts) if job.configs else "${PARTS:-${SLURM_ARRAY_TASK_COUNT:-0}}"
        yield f"n={parts} i=${{SLURM_ARRAY_TASK_ID:-0}}"
    elif job.seeds:
        yield f"seeds={job.seeds}"
        yield "n=$((seeds * ${#runs[@]})) i=${SLURM_ARRAY_TASK_ID:-0}"
    else:
        yield "n=${#runs[@]} i=${SLURM_ARRAY_TASK_ID:-0}"


def _task(job: Job) -> Iterator[str]:
    """The configuration of this task of an array."""
    index = "(i - 1) / seeds" if job.seeds else "i - 1"
    yield f'set -- "${{runs[{index}]}}" "$@"'


def _seed(job: Job) -> Iterator[str]:
    if job.seeds:
        yield "seed=$(((i - 1) % seeds))"
        yield 'out=$("${mpidbo[@]}" where "$@") || exit'
        yield 'set -- "$@" --set "run.seed=$seed" --out "$out/seed-$seed"'


def _arguments(job: Job) -> Iterator[str]:
    """Set the arguments of `mpidbo run`: those that are fixed, then those given to the script."""
    device = ["--set", "run.device=cuda"] if job.gpus else []
    copies = ["--set", f"run.survive={job.survive}"] if job.survive else []
    fixed = [*device, *copies, *job.options]
    if job.configs and job.kind != "slurm-array":
        # PBS and LSF pass no words to a script: the template has put those of ARGS into `more`.
        rest = '"${more[@]}"' if job.system in ("pbs", "lsf") else '"$@"'
        yield f"set -- {shlex.join([*job.configs, *fixed])} {rest}"
    elif fixed:
        # $1 is the configuration.
        yield f'set -- "$1" {shlex.join(fixed)} "${{@:2}}"'


def _runs(job: Job) -> Iterator[str]:
    if job.configs:
        yield "runs=("
        for path in job.configs:
            yield f"    {shlex.quote(path)}"
        yield ")"


PARTS: dict[str, Callable[[Job], Iterator[str]]] = {
    "written": _header,
    "directives": directives,
    "mpidbo": _mpidbo,
    "restarts": _restarts,
    "ranks": _ranks,
    "modules": _modules,
    "shape": _shape,
    "launch": _launch,
    "rank_logs": _rank_logs,
    "wait": _wait,
    "verb": _verb,
    "tasks": _tasks,
    "task": _task,
    "seed": _seed,
    "arguments": _arguments,
    "runs": _runs,
}
"""Name of a part in a template -> the function that makes its lines."""
