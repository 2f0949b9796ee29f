"""The way through a run of `mpidbo run`, `solve` and studies: agree, set up, run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import Config, tuning_summary
from ..errors import Diverged, UserError
from ..parallel import agreed, is_root, raise_on_all_ranks, return_freed
from ..storage import defaulted
from .copies import Copies
from .evaluation import Watcher
from .folder import Folder, Resume, is_finished, refuse_other_steps
from .loop import Observer
from .ranks import SAME_FILES, Tables, compare_ranks, identity, stall_timeout
from .result import Result
from .running import Running, under_way
from .setup import set_up
from .start import Given
from .stopping import Stopping
from .watchdog import StallWatch

if TYPE_CHECKING:
    from mpi4py.MPI import Comm


@contextmanager
def agreed_config(
    comm: "Comm | None",
    call: str,
    tables: Callable[[], Tables],
    check: Callable[[Tables], Config],
    *,
    compared: Callable[[], Mapping[str, Any]] = dict,
    remedy: str = SAME_FILES,
) -> Iterator[Config]:
    """Context of a checked configuration that all ranks share, under the stall watch; collective.

    Parameters
    ----------
    comm : Comm, optional
        The communicator, None for one process.
    call : str
        The command or function that all ranks have to call, for messages.
    tables : callable
        Returns the tables of the configuration, not yet checked.
    check : callable
        Makes a checked configuration of them.
    compared : callable, optional
        Returns what else has to be the same on every rank, by name.
    remedy : str, optional
        What to do where ranks differ, for the message.

    Raises
    ------
    UserError
        The same on every rank: a mistake in the tables, or a difference between ranks.
    """
    with StallWatch(comm, stall_timeout(tables), call):
        with agreed(comm):
            config = check(tables())
        compare_ranks(comm, call, lambda: {**identity(config), **compared()}, remedy)
        yield config


@contextmanager
def begun(
    config: Config,
    comm: "Comm | None" = None,
    *,
    resume: Resume = "auto",
    repeat_diverged: bool = True,
    interrupt: Callable[[], None] = lambda: None,
    notify: Callable[[str], None] = lambda message: None,
    warn: Callable[[str], None] | None = None,
    observers: Sequence[Observer] = (),
    watchers: Sequence[Watcher] = (),
    gather: bool = False,
    start: Given | None = None,
    copies: Copies | None = None,
) -> Iterator[Running | None]:
    """Context of a run of a checked configuration, in the folder of `run.out`; collective.

    Nothing is written before everything is checked. It gives None where the run has finished in its
    folder before.

    Parameters
    ----------
    config : Config
        The same on every rank.
    comm : Comm, optional
        The communicator, None for one process.
    resume : {"auto", "never", "must"}, default "auto"
        What to do with a folder that has files of this run: see `Folder`.
    repeat_diverged : bool, default True
        Whether a run that has diverged in its folder is run again.
    interrupt : callable, optional
        Called on every rank between the stages before the loop; may raise Stopped.
    notify, warn : callable, optional
        Called on rank 0 with messages for the user about the folder: news, and what may not be as
        was meant; `warn` by default as `notify`.
    observers, watchers, gather
        See `Running`.
    start : Given, optional
        What the caller gives for x and y; `run.start` then names the file that is to keep it.
    copies : Copies, optional
        See `Running`.

    Raises
    ------
    UserError, Diverged, Stopped
        The same on every rank.
    """
    out = config.run.out
    if config.run.survive and copies is None and comm is not None:
        raise_on_all_ranks(UserError("run.survive: only mpidbo run has it; leave it out here"))
    earlier = copies.setup if copies else None
    # First, since nothing of the run has to be built for it.
    looks = out is not None and resume != "never" and start is None and earlier is None
    if looks and is_finished(config, comm):
        yield None
        return
    interrupt()
    with ExitStack() as stack:
        stack.callback(return_freed)
        setup = stack.enter_context(set_up(config, comm, start, earlier))
        stopping = None
        if setup.config.auto:
            # Here, so that only a run that finds its step sizes imports this.
            from .tuning import tuned

            if out is not None and resume != "never":
                refuse_other_steps(Path(out), comm)
            interrupt()
            if is_root(comm):
                notify(f"searching for {', '.join(setup.config.auto)} by short runs")
            stopping = Stopping(
                setup.agents, config.run.max_seconds, copies.began if copies else None
            )
            setup = tuned(setup, stopping)
            if copies:
                copies.setup = setup  # with step sizes that need not be found again
            if is_root(comm):
                notify(tuning_summary(setup.config))
        folder = None
        if out is not None:
            interrupt()  # again, as building may have taken long
            filled_in = defaulted(config, setup.config)
            folder = Folder(
                Path(out),
                setup.config.tables(),
                setup.agents,
                resume,
                notify,
                warn or notify,
                filled_in,
                (setup.x0, setup.y0),
            )
            stack.enter_context(folder)
            if folder.finished:
                yield None
                return
            if not repeat_diverged and folder.has_diverged():
                raise Diverged(f"{out}: diverged when it was last run")
        run = under_way(
            setup,
            folder=folder,
            observers=observers,
            watchers=watchers,
            gather=gather,
            stopping=stopping,
            copies=copies,
        )
        yield stack.enter_context(run)


def run_config(config: Config, comm: "Comm | None" = None, **how: Any) -> Result | None:
    """Run a checked configuration to its end, in the folder of `run.out`; collective.

    Parameters
    ----------
    config, comm, how
        See `begun`.

    Returns
    -------
    Result, or None where the run has finished in its folder before.

    Raises
    ------
    UserError, Diverged, Stopped
        The same on every rank.
    """
    with begun(config, comm, **how) as running:
        return None if running is None else running.to_its_end()
