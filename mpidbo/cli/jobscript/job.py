"""The kinds of job scripts, and the job that a script asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from ..._fields import Range


class Kind(NamedTuple):
    """A kind of job script.

    Parameters
    ----------
    file : str
        Its file in jobscripts/, and its template.
    system : str
        The batch system: "slurm", "pbs", "lsf", or "local" for none.
    text : str
        What it does, for `--help`.
    """

    file: str
    system: str
    text: str


KINDS = {
    "slurm": Kind(
        "requeue.sbatch",
        "slurm",
        "a Slurm job that is requeued until the run has finished",
    ),
    "slurm-once": Kind("run.sbatch", "slurm", "a Slurm job that starts the run once"),
    "slurm-gpu": Kind(
        "gpu.sbatch",
        "slurm",
        "a Slurm job with a rank for each GPU, requeued until the run has finished",
    ),
    "slurm-array": Kind("array.sbatch", "slurm", "a Slurm array, a run for each configuration"),
    "slurm-chain": Kind(
        "chain.sh", "slurm", "a chain of Slurm jobs, where jobs cannot be requeued"
    ),
    "pbs": Kind("run.pbs", "pbs", "a PBS job that is submitted again until the run has finished"),
    "lsf": Kind("run.lsf", "lsf", "an LSF job that is requeued until the run has finished"),
    "local": Kind("local.sh", "local", "this machine, with mpiexec"),
}


@dataclass(frozen=True)
class Job:
    """What a script asks for; the defaults are those of the files in jobscripts/.

    Parameters
    ----------
    kind : str
        A key of `KINDS`.
    name : str
        The job's name.
    nodes, tasks, cpus, gpus : int
        Nodes, ranks per node, cores per rank, GPUs per node.
    seconds : int
        The time limit.
    partition, account : str, optional
        Partition (or queue) and account (or project); left to the site by default.
    restarts : int
        How often the run is started again.
    throttle : int
        How many tasks of an array run at a time.
    configs : tuple of str
        The configurations; several for an array.
    options : tuple of str
        Words for `mpidbo run` after the configuration.
    program : tuple of str
        The words that start mpidbo.
    environment : mapping
        LAUNCH and SRUN_MPI of the shell in which the script is written, if they are set.
    """

    kind: str = "slurm"
    name: str = "mpidbo"
    nodes: Annotated[int, Range(1)] = 1
    tasks: Annotated[int, Range(1)] = 4
    cpus: Annotated[int, Range(1)] = 1
    gpus: Annotated[int, Range(0)] = 0
    seconds: Annotated[int, Range(60)] = 3600
    partition: str | None = None
    account: str | None = None
    restarts: Annotated[int, Range(0)] = 10
    throttle: Annotated[int, Range(1)] = 2
    configs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    program: tuple[str, ...] = ("mpidbo",)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def system(self) -> str:
        """The batch system."""
        return KINDS[self.kind].system

    @property
    def ranks(self) -> int:
        """The ranks on all nodes."""
        return self.nodes * self.tasks
