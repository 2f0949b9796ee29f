"""The lines of a job script by which it asks its batch system for nodes, time and signals."""

import re
from collections.abc import Callable, Iterator

from ...errors import UserError
from .job import KINDS, Job
from .options import options_of

MAX_MARGIN_S = 120
"""How long before the time limit a Slurm job is asked to stop."""
LSF_MARGIN_MIN = 2
SGE_MARGIN_S = 120
PREFIXES = {
    "slurm": "#SBATCH ",
    "pbs": "#PBS ",
    "lsf": "#BSUB ",
    "flux": "# flux: ",
    "sge": "#$ ",
}
"""Batch system -> what its directives begin with."""


def directives(job: Job) -> Iterator[str]:
    """The lines `#SBATCH`, `#PBS`, `#BSUB`, `# flux:` or `#$` of a job."""
    yield from SYSTEMS[job.system](job)
    for text in job.directives:
        yield f"{PREFIXES[job.system]}{text}"


def checked_directive(text: str, kind: str) -> str:
    """Return a directive of the user without the prefix of its batch system.

    Parameters
    ----------
    text : str
        Such as "--exclusive", or "#SBATCH --exclusive".
    kind : str
        A key of `KINDS`.

    Raises
    ------
    UserError
        If it is not an option, or one that the command has itself.
    """
    prefix = PREFIXES[KINDS[kind].system].strip()
    option = text.strip().removeprefix(prefix).strip()
    if not option.startswith("-") or "\n" in option:
        raise UserError(
            f"--directive {text!r}: not an option of the batch system; "
            f"write for example --directive '{prefix} --exclusive'"
        )
    name, value = re.match(r"([^\s=]+)[\s=]*(.*)", option).groups()  # type: ignore[union-attr]
    own = {alias for each in options_of(kind).values() for alias in (each.name, *each.aliases)}
    if name in own:
        raise UserError(
            f"--directive {text!r}: {name} is an option of mpidbo jobscript; "
            f"write {name} {value}".rstrip()
        )
    return option


def _slurm(job: Job) -> Iterator[str]:
    array = job.is_array
    requeued = job.kind not in ("slurm-once", "slurm-chain")
    yield f"#SBATCH --job-name={job.name}"
    number = "%A_%a" if array else "%j"  # of an array its number and that of the task
    yield f"#SBATCH --output=%x-{number}.out"
    yield "#SBATCH --open-mode=append"  # a requeued job has the same file
    if array:
        yield f"#SBATCH --array=1-{_array_tasks(job)}%{job.throttle}"
    yield f"#SBATCH --nodes={job.nodes}"
    yield f"#SBATCH --ntasks-per-node={job.tasks}"
    yield f"#SBATCH --cpus-per-task={job.cpus}"
    if job.gpus:
        yield f"#SBATCH --gpus-per-node={job.gpus}"
    if job.memory:
        yield f"#SBATCH --mem={_size(job.memory)}"
    yield f"#SBATCH --time={_clock(job.seconds)}"
    # B: to the shell of the script alone, which sends it on to the launcher. Otherwise it would end
    # the daemons of mpirun, which are a step of srun.
    yield f"#SBATCH --signal=B:USR1@{min(MAX_MARGIN_S, job.seconds // 4)}"
    if requeued:
        yield "#SBATCH --requeue"
    if job.survive:
        yield "#SBATCH --no-kill"  # the job continues without a node that has failed
    yield _optional("#SBATCH --partition=", job.partition)
    yield _optional("#SBATCH --account=", job.account)
    if job.qos:
        yield f"#SBATCH --qos={job.qos}"
    if job.constraint:
        yield f"#SBATCH --constraint={job.constraint}"
    if job.mail_types:
        yield f"#SBATCH --mail-type={','.join(job.mail_types).upper()}"
    if job.mail_user:
        yield f"#SBATCH --mail-user={job.mail_user}"


def _pbs(job: Job) -> Iterator[str]:
    select = [
        str(job.nodes),
        f"ncpus={job.tasks * job.cpus}",
        f"mpiprocs={job.tasks}",
        f"ompthreads={job.cpus}",
    ]
    if job.gpus:
        select.append(f"ngpus={job.gpus}")
    if job.memory:
        select.append(f"mem={job.memory}mb")
    yield f"#PBS -N {job.name}"
    yield "#PBS -j oe"
    yield "#PBS -r y"
    yield f"#PBS -l select={':'.join(select)}"
    yield f"#PBS -l walltime={_clock(job.seconds)}"
    yield _optional("#PBS -q ", job.partition)
    yield _optional("#PBS -A ", job.account)
    yield from _mail("#PBS", job)


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
    if job.memory:
        yield f'#BSUB -R "rusage[mem={job.memory}MB]"'
    yield f"#BSUB -W {hours_and_minutes}"
    yield f"#BSUB -wa USR1 -wt {LSF_MARGIN_MIN}"
    yield '#BSUB -Q "85"'  # requeued after exit code 85, stopped with a checkpoint
    yield _optional("#BSUB -q ", job.partition)
    yield _optional("#BSUB -P ", job.account)
    if "begin" in job.mail_types:
        yield "#BSUB -B"
    if {"end", "fail"} & {*job.mail_types}:
        yield "#BSUB -N"
    if job.mail_user:
        yield f"#BSUB -u {job.mail_user}"


def _flux(job: Job) -> Iterator[str]:
    yield f"# flux: --job-name={job.name}"
    yield "# flux: --output={{name}}-{{id}}.out"
    yield f"# flux: --nodes={job.nodes}"
    yield f"# flux: --nslots={job.ranks}"
    yield f"# flux: --cores-per-slot={job.cpus}"
    if job.gpus:
        yield f"# flux: --gpus-per-slot={job.gpus // job.tasks}"
    yield f"# flux: --time-limit={job.seconds}s"
    # Its comments begin behind the prefix, which all lines must have.
    yield f"# flux: --queue={job.partition}" if job.partition else "# flux: # --queue=NAME"
    yield f"# flux: --bank={job.account}" if job.account else "# flux: # --bank=NAME"


def _sge(job: Job) -> Iterator[str]:
    margin = min(SGE_MARGIN_S, job.seconds // 4)
    yield f"#$ -N {job.name}"
    yield "#$ -S /bin/bash"
    yield "#$ -cwd"
    yield "#$ -j y"
    yield "#$ -o $JOB_NAME-$JOB_ID.out"
    yield "#$ -r y"
    yield f"#$ -pe {job.parallel_environment} {job.ranks * job.cpus}"
    if job.gpus:
        yield f"#$ -l gpu={job.gpus}"
    if job.memory:
        yield f"#$ -l h_vmem={-(-job.memory // (job.tasks * job.cpus))}M"  # of a slot
    # At the soft limit Grid Engine sends USR1.
    yield f"#$ -l h_rt={_clock(job.seconds)},s_rt={_clock(job.seconds - margin)}"
    yield _optional("#$ -q ", job.partition)
    yield _optional("#$ -P ", job.account)
    yield from _mail("#$", job)


def _mail(prefix: str, job: Job) -> Iterator[str]:
    letters = {"begin": "b", "end": "e", "fail": "a"}
    if job.mail_types:
        yield f"{prefix} -m {''.join(letters[event] for event in job.mail_types)}"
    if job.mail_user:
        yield f"{prefix} -M {job.mail_user}"


def _array_tasks(job: Job) -> int:
    if job.kind == "slurm-study":
        return job.parts
    return max(1, len(job.configs)) * max(1, job.seeds)


def _size(mebibytes: int) -> str:
    """Memory as Slurm writes it."""
    return f"{mebibytes // 1024}G" if mebibytes % 1024 == 0 else f"{mebibytes}M"


def _optional(option: str, value: str | None) -> str:
    """A directive, or a comment that shows it where there is no value."""
    return f"{option}{value}" if value else f"#{option}NAME"


def _clock(seconds: int) -> str:
    """H:MM:SS with at least two digits for hours."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}"


SYSTEMS: dict[str, Callable[[Job], Iterator[str]]] = {
    "slurm": _slurm,
    "pbs": _pbs,
    "lsf": _lsf,
    "flux": _flux,
    "sge": _sge,
    "local": lambda job: iter(()),
}
"""Batch system -> its directives."""
