"""The lines of a job script by which it asks its batch system for nodes, time and signals."""

from collections.abc import Iterator

from .job import Job

MAX_MARGIN_S = 120
"""How long before the time limit a Slurm job is asked to stop."""
LSF_MARGIN_MIN = 2


def directives(job: Job) -> Iterator[str]:
    """The lines `#SBATCH`, `#PBS` or `#BSUB` of a job."""
    if job.system == "slurm":
        yield from _slurm(job)
    elif job.system == "pbs":
        yield from _pbs(job)
    elif job.system == "lsf":
        yield from _lsf(job)


def _slurm(job: Job) -> Iterator[str]:
    array = job.kind == "slurm-array"
    requeued = job.kind not in ("slurm-once", "slurm-chain")
    yield f"#SBATCH --job-name={job.name}"
    number = "%A_%a" if array else "%j"  # of an array its number and that of the task
    yield f"#SBATCH --output=%x-{number}.out"
    yield "#SBATCH --open-mode=append"  # a requeued job has the same file
    if array:
        yield f"#SBATCH --array=1-{len(job.configs) or 1}%{job.throttle}"
    yield f"#SBATCH --nodes={job.nodes}"
    yield f"#SBATCH --ntasks-per-node={job.tasks}"
    yield f"#SBATCH --cpus-per-task={job.cpus}"
    if job.gpus:
        yield f"#SBATCH --gpus-per-node={job.gpus}"
    yield f"#SBATCH --time={_clock(job.seconds)}"
    # B: to the shell of the script alone, which sends it on to the launcher. Otherwise it would end
    # the daemons of mpirun, which are a step of srun.
    yield f"#SBATCH --signal=B:USR1@{min(MAX_MARGIN_S, job.seconds // 4)}"
    if requeued:
        yield "#SBATCH --requeue"
    yield _optional("#SBATCH --partition=", job.partition)
    yield _optional("#SBATCH --account=", job.account)


def _pbs(job: Job) -> Iterator[str]:
    select = [
        str(job.nodes),
        f"ncpus={job.tasks * job.cpus}",
        f"mpiprocs={job.tasks}",
        f"ompthreads={job.cpus}",
    ]
    if job.gpus:
        select.append(f"ngpus={job.gpus}")
    yield f"#PBS -N {job.name}"
    yield "#PBS -j oe"
    yield "#PBS -r y"
    yield f"#PBS -l select={':'.join(select)}"
    yield f"#PBS -l walltime={_clock(job.seconds)}"
    yield _optional("#PBS -q ", job.partition)
    yield _optional("#PBS -A ", job.account)


def _lsf(job: Job) -> Iterator[str]:
    hours_and_minutes = _clock(job.seconds).rpartition(":")[0]  # LSF takes no seconds
    yield f"#BSUB -J {job.name}"
    yield f"#BSUB -o {job.name}-%J.lsf"
    yield f"#BSUB -n {job.ranks}"
    yield f'#BSUB -R "span[ptile={job.tasks}]"'
    if job.cpus > 1:
        yield f'#BSUB -R "affinity[core({job.cpus})]"'
    if job.gpus:
        yield f'#BSUB -gpu "num={job.gpus}"'
    yield f"#BSUB -W {hours_and_minutes}"
    yield f"#BSUB -wa USR1 -wt {LSF_MARGIN_MIN}"
    yield '#BSUB -Q "85"'  # requeued after exit code 85, stopped with a checkpoint
    yield _optional("#BSUB -q ", job.partition)
    yield _optional("#BSUB -P ", job.account)


def _optional(option: str, value: str | None) -> str:
    """A directive, or a comment that shows it where there is no value."""
    return f"{option}{value}" if value else f"#{option}NAME"


def _clock(seconds: int) -> str:
    """H:MM:SS with at least two digits for hours."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}"
