"""Job scripts: the files of jobscripts/, and the same ones filled in for a run.

Each is a template in mpidbo/shell. There, a line `@part` stands for a part that is made here, or else for the file part.sh, and
`@bare ` begins a line of the files in jobscripts/, which name no configuration.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files as resources
from typing import NamedTuple

from ..._version import __version__


class Kind(NamedTuple):
    """A script: its file in jobscripts/, the batch system that it is for, and what it does."""

    file: str
    system: str
    text: str


KINDS = {
    "slurm": Kind("requeue.sbatch", "slurm", "a Slurm job that goes back into the queue until the run has finished"),
    "slurm-once": Kind("run.sbatch", "slurm", "a Slurm job that starts the run once"),
    "slurm-gpu": Kind("gpu.sbatch", "slurm", "a Slurm job with a rank for each GPU, which goes back into the queue"),
    "slurm-array": Kind("array.sbatch", "slurm", "a Slurm array, a run for each configuration"),
    "slurm-chain": Kind("chain.sh", "slurm", "a chain of Slurm jobs, where jobs cannot be requeued"),
    "pbs": Kind("run.pbs", "pbs", "a PBS job that is submitted again until the run has finished"),
    "lsf": Kind("run.lsf", "lsf", "an LSF job that is requeued until the run has finished"),
    "local": Kind("local.sh", "local", "this machine, with mpiexec"),
}
LAUNCHERS = {
    "slurm": ("Plain srun is the site's choice; else SRUN_MPI=pmix (Open MPI) or SRUN_MPI=pmi2 (MPICH); srun --mpi=list",
              '"srun${SRUN_MPI:+ --mpi=$SRUN_MPI}"'),
    "pbs": ("An MPI that does not know PBS needs the nodes: LAUNCH='mpiexec --hostfile ...'",
            '"mpiexec -n $(wc -l <"$PBS_NODEFILE")"'),
    "lsf": ("An MPI that does not know LSF needs the nodes: LAUNCH='mpirun --hostfile ...'", '"mpirun -n $LSB_DJOB_NUMPROC"'),
    "local": ("With more ranks than cores Open MPI wants LAUNCH='mpiexec --oversubscribe -n 8'", '"mpiexec -n $RANKS"'),
}
"""What a user should know of the launcher, and the launcher as an expression of the shell."""


@dataclass(frozen=True)
class Job:
    """What a script asks for; the defaults are those of the files in jobscripts/. `seconds`: its time limit."""

    kind: str = "slurm"
    name: str = "mpidbo"
    nodes: int = 1
    tasks: int = 4
    cpus: int = 1
    gpus: int = 0
    seconds: int = 3600
    partition: str | None = None
    account: str | None = None
    restarts: int = 10
    throttle: int = 2
    configs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    program: tuple[str, ...] = ("mpidbo",)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def ranks(self) -> int:
        return self.nodes * self.tasks


def script(job: Job) -> str:
    """The text of a script."""
    return "\n".join(_lines(KINDS[job.kind].file, job)) + "\n"


def shipped() -> dict[str, str]:
    """The files of jobscripts/ that are scripts: name -> text."""
    return {kind.file: script(Job(name, gpus=4 if name == "slurm-gpu" else 0)) for name, kind in KINDS.items()}


def _lines(file: str, job: Job) -> Iterator[str]:
    for line in (resources(__package__) / "templates" / file).read_text(encoding="utf-8").splitlines():
        if line.startswith("@bare "):
            if not job.configs:
                yield line.removeprefix("@bare ")
        elif not line.startswith("@"):
            yield line
        elif line[1:] in PARTS:
            yield from PARTS[line[1:]](job)
        else:
            yield from _lines(f"{line[1:]}.sh", job)


def _written(job: Job) -> Iterator[str]:
    if job.configs:
        yield f"# Written by mpidbo {__version__} for {', '.join(job.configs)}"
    else:
        yield "#"
        yield "# Change what is asked for here or on the command line, which wins. `mpidbo jobscript` writes this file filled in."


def _directives(job: Job) -> Iterator[str]:
    yield from {"slurm": _slurm, "pbs": _pbs, "lsf": _lsf}[KINDS[job.kind].system](job)


def _slurm(job: Job) -> Iterator[str]:
    yield f"#SBATCH --job-name={job.name}"
    yield f"#SBATCH --output=%x-{'%A_%a' if job.kind == 'slurm-array' else '%j'}.out"
    yield "#SBATCH --open-mode=append"
    if job.kind == "slurm-array":
        yield f"#SBATCH --array=1-{len(job.configs) or 1}%{job.throttle}"
    yield f"#SBATCH --nodes={job.nodes}"
    yield f"#SBATCH --ntasks-per-node={job.tasks}"
    yield f"#SBATCH --cpus-per-task={job.cpus}"
    if job.gpus:
        yield f"#SBATCH --gpus-per-node={job.gpus}"
    yield f"#SBATCH --time={_clock(job.seconds)}"
    yield f"#SBATCH --signal=B:USR1@{min(120, job.seconds // 4)}"
    if job.kind not in ("slurm-once", "slurm-chain"):
        yield "#SBATCH --requeue"
    yield _optional("#SBATCH --partition=", job.partition)
    yield _optional("#SBATCH --account=", job.account)


def _pbs(job: Job) -> Iterator[str]:
    yield f"#PBS -N {job.name}"
    yield "#PBS -j oe"
    yield "#PBS -r y"
    gpus = f":ngpus={job.gpus}" if job.gpus else ""
    yield f"#PBS -l select={job.nodes}:ncpus={job.tasks * job.cpus}:mpiprocs={job.tasks}:ompthreads={job.cpus}{gpus}"
    yield f"#PBS -l walltime={_clock(job.seconds)}"
    yield _optional("#PBS -q ", job.partition)
    yield _optional("#PBS -A ", job.account)


def _lsf(job: Job) -> Iterator[str]:
    yield f"#BSUB -J {job.name}"
    yield f"#BSUB -o {job.name}-%J.lsf"
    yield f"#BSUB -n {job.ranks}"
    yield f'#BSUB -R "span[ptile={job.tasks}]"'
    if job.cpus > 1:
        yield f'#BSUB -R "affinity[core({job.cpus})]"'
    if job.gpus:
        yield f'#BSUB -gpu "num={job.gpus}"'
    yield f"#BSUB -W {_clock(job.seconds)[:-3]}"
    yield "#BSUB -wa USR1 -wt 2"
    yield '#BSUB -Q "85"'
    yield _optional("#BSUB -q ", job.partition)
    yield _optional("#BSUB -P ", job.account)


def _optional(words: str, value: str | None) -> str:
    return f"{words}{value}" if value else f"#{words}NAME"


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _mpidbo(job: Job) -> Iterator[str]:
    yield f"mpidbo=({shlex.join(job.program)})"


def _restarts(job: Job) -> Iterator[str]:
    yield f"MAX_RESTARTS=${{MAX_RESTARTS:-{job.restarts}}}"


def _ranks(job: Job) -> Iterator[str]:
    yield f"RANKS=${{RANKS:-{job.ranks}}}"


def _launch(job: Job) -> Iterator[str]:
    """LAUNCH and SRUN_MPI of the shell in which the script was written are the script's own defaults."""
    system = KINDS[job.kind].system
    text, expression = LAUNCHERS[system]
    if found := job.environment.get("LAUNCH"):
        expression = shlex.quote(found)
    elif system == "slurm" and (found := job.environment.get("SRUN_MPI")):
        expression = f'"srun --mpi=${{SRUN_MPI:-{found}}}"'
    yield f"# What starts the ranks. {text}."
    yield f'[ -n "${{LAUNCH:-}}" ] || LAUNCH={expression}'


def _arguments(job: Job) -> Iterator[str]:
    """The arguments of `mpidbo run` that are fixed, before those that the script is handed."""
    more = '"${more[@]}"' if KINDS[job.kind].system in ("pbs", "lsf") else '"$@"'
    device = ["--set", "run.device=cuda"] if job.gpus else []
    if job.configs and job.kind != "slurm-array":
        yield f"set -- {shlex.join([*job.configs, *device, *job.options])} {more}"
    elif fixed := [*device, *job.options]:
        yield f'set -- "$1" {shlex.join(fixed)} "${{@:2}}"'


def _runs(job: Job) -> Iterator[str]:
    if job.configs:
        yield from ("runs=(", *(f"    {shlex.quote(path)}" for path in job.configs), ")")


PARTS: dict[str, Callable[[Job], Iterator[str]]] = {
    "written": _written, "directives": _directives, "mpidbo": _mpidbo, "restarts": _restarts, "ranks": _ranks, "launch": _launch,
    "arguments": _arguments, "runs": _runs}
