"""The kinds of job scripts, and the job that a script asks for."""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

from ..._fields import Range


class Kind(NamedTuple):
    """A kind of job script.

    Parameters
    ----------
    file : str
        Its file in jobscripts/, and its template.
    system : str
        The batch system: "slurm", "pbs", "lsf", "flux", "sge", or "local" for none.
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
    "slurm-study": Kind(
        "study.sbatch", "slurm", "a Slurm array that makes the runs of a study (mpidbo compare)"
    ),
    "slurm-chain": Kind(
        "chain.sh", "slurm", "a chain of Slurm jobs, where jobs cannot be requeued"
    ),
    "pbs": Kind("run.pbs", "pbs", "a PBS job that is submitted again until the run has finished"),
    "lsf": Kind("run.lsf", "lsf", "an LSF job that is requeued until the run has finished"),
    "flux": Kind(
        "run.flux", "flux", "a Flux job that is submitted again until the run has finished"
    ),
    "sge": Kind(
        "run.sge", "sge", "a Grid Engine job that is rescheduled until the run has finished"
    ),
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
    memory : int, optional
        Memory of each node, in MiB.
    mail_types : tuple of str
        Events of which the batch system sends mail: "begin", "end", "fail".
    mail_user : str, optional
        The address for it.
    qos, constraint : str, optional
        Slurm's quality of service, and the features that nodes must have.
    parallel_environment : str
        Grid Engine's, by which slots are placed on nodes.
    modules : tuple of str
        Modules that the script loads.
    directives : tuple of str
        Further options of the batch system, each for a line of its own.
    mpi : str, optional
        The protocol of srun, such as "pmix"; by default that of the site.
    launch : str, optional
        The launcher, in place of the batch system's.
    rank_logs : bool
        Whether each rank writes a log of its own.
    restarts : int
        How often the run is started again.
    survive : int
        `run.survive`, with the launcher that it needs; 0: neither.
    throttle : int
        How many tasks of an array run at a time.
    seeds : int
        Runs of each configuration of an array, which differ by run.seed; 0: one, with its own seed.
    parts : int
        Tasks among which the runs of a study are divided.
    configs : tuple of str
        The configurations; several for an array.
    options : tuple of str
        Words for `mpidbo run` after the configuration.
    program : tuple of str
        The words that start mpidbo.
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
    memory: Annotated[int | None, Range(1)] = None
    mail_types: tuple[str, ...] = ()
    mail_user: str | None = None
    qos: str | None = None
    constraint: str | None = None
    parallel_environment: str = "mpi"
    modules: tuple[str, ...] = ()
    directives: tuple[str, ...] = ()
    mpi: str | None = None
    launch: str | None = None
    rank_logs: bool = False
    restarts: Annotated[int, Range(0)] = 10
    survive: Annotated[int, Range(1)] = 0
    throttle: Annotated[int, Range(1)] = 2
    seeds: Annotated[int, Range(1)] = 0
    parts: Annotated[int, Range(1, 10_000)] = 4
    configs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    program: tuple[str, ...] = ("mpidbo",)

    @property
    def system(self) -> str:
        """The batch system."""
        return KINDS[self.kind].system

    @property
    def ranks(self) -> int:
        """The ranks on all nodes."""
        return self.nodes * self.tasks

    @property
    def is_array(self) -> bool:
        """Whether the script is started for each of several tasks."""
        return self.kind in ("slurm-array", "slurm-study")
