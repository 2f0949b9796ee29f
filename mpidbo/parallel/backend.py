"""Where the arrays of a run are: in the memory of the host, or of one GPU for each rank."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module, util
from sys import modules
from typing import TYPE_CHECKING, Any

import numpy as np

from .._text import first_nonempty
from .._types import Array
from .._warning import warn
from ..errors import UserError
from .agreement import agreed, allgather_text
from .collectives import free, split_type
from .fusion import CLOCK, compute, compute_into
from .launcher import local_rank
from .lazy import Rows, real
from .workers import Workers

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

POOL_RESERVE_FRACTION = 0.05
"""Fraction of a GPU's memory that the pools leave to CUDA itself and to other programs."""


class Host:
    """Arrays of numpy.

    Attributes
    ----------
    xp : module
        The array library, numpy or CuPy.
    name : str
        The device, "cpu" or "cuda:0".
    """

    xp: Any = np
    name = "cpu"
    overlaps = False
    """Whether calls of oracles are put off until a message is under way."""

    def iterations(self, workers: Workers) -> AbstractContextManager[None]:
        """Return a context of iterations, whose compiled updates are divided among threads.

        No call of an oracle is put off before it or left after it.
        """
        return nullcontext()

    def catch_up(self) -> None:
        """Make the calls that were put off, in their order."""
        return

    def array(self, rows: Array) -> Array:
        """Return the array of the library behind what a method or the host has."""
        return rows

    def rows(self, array: Array) -> Array:
        """Return what a method works with, for an array of the host or of the device."""
        return array

    def oracle(self, ask: Callable[..., Array]) -> Callable[..., Array]:
        """Return an oracle over a method's rows, for one over arrays of the library."""
        return ask


class Cuda(Host):
    """Arrays of CuPy on one device.

    Messages are computed and copied on `stream`, beside the device's other work.

    Parameters
    ----------
    cupy : module
        CuPy.
    device : int
        Number of the device among those that this process sees.
    sharing : int, default 1
        Number of ranks that use the device; they share its memory.
    buffers : {"host", "device"}, default "host"
        From where messages are sent.
    """

    def __init__(self, cupy: Any, device: int, sharing: int = 1, buffers: str = "host") -> None:
        super().__init__()
        self.xp, self.cuda, self.buffers = cupy, cupy.cuda, buffers
        self.device = self.cuda.Device(device)
        self.device.use()
        self.name = f"cuda:{device}"
        if sharing > 1:
            share = (1 - POOL_RESERVE_FRACTION) / sharing
            cupy.get_default_memory_pool().set_limit(fraction=share)
        # Otherwise each would wait for the other implicitly, the stream and the default stream.
        self.stream = self.cuda.Stream(non_blocking=True)
        self.ready = self.cuda.Event(disable_timing=True)
        self.arrived = self.cuda.Event(disable_timing=True)
        self.settle()

    def array(self, rows: Array) -> Array:
        return self.xp.asarray(real(rows))

    def rows(self, array: Array) -> Array:
        return array if type(array) is Rows else Rows(self.xp.asarray(array))

    def oracle(self, ask: Callable[..., Array]) -> Callable[..., Array]:
        def asked(sample: Any, *rows: Array) -> Array:
            if compute([part for part in rows if type(part) is Rows]):
                self.settle()  # so that a message made of these rows need not wait for the oracle
            return Rows(ask(sample, *[self.array(part) for part in rows]))

        return asked

    def settle(self) -> None:
        """Record `ready`, which is reached once all work that was begun until now is done."""
        self.ready.record()
        CLOCK.time += 1

    def message(
        self, rows: tuple[Array, ...], spare: Callable[[], Sequence[Array]]
    ) -> tuple[Array, ...]:
        """Return the arrays of a message; streams other than `stream` may read them after `arrive`.

        Parameters
        ----------
        rows : tuple of array of shape (m, d)
            The message.
        spare : callable
            Returns arrays of these shapes that nobody else uses. A message whose operands all
            existed when `ready` was recorded is computed into them, beside the work that the device
            has begun since.
        """
        parts = [self.rows(part) for part in rows]
        # An operand made after `ready` was last recorded: the message cannot be computed early.
        is_late = any(part.made() >= CLOCK.time for part in parts)
        if is_late:
            compute(parts)
            self.settle()
        self.stream.wait_event(self.ready)
        if is_late:
            return tuple([part.array for part in parts])
        # The parts themselves stay unknown: the next message overwrites the spare arrays.
        with self.stream:
            return tuple(
                [
                    part.array if part.known else compute_into(part, target)
                    for part, target in zip(parts, spare(), strict=True)
                ]
            )

    def arrive(self) -> None:
        """Have the device's work wait for what `stream` has begun until now."""
        self.arrived.record(self.stream)
        self.cuda.get_current_stream().wait_event(self.arrived)


HOST = Host()


def host(rows: Array) -> Array:
    """Return a numpy array for rows of a method or an array of the device."""
    array = real(rows)
    if isinstance(array, np.ndarray) or not hasattr(array, "get"):
        return array
    return array.get()


def choose_backend(
    device: str,
    comm: "Comm | None",
    buffers: str = "host",
    environment: Mapping[str, str] = os.environ,
) -> Host:
    """Return the backend of `run.device`; collective.

    Parameters
    ----------
    device : {"cpu", "cuda", "auto"}
        "auto" is a GPU if every rank has one, else the CPU for all, with a warning that says why.
    comm : mpi4py communicator, or None for one process
    buffers : {"host", "device"}, default "host"
        From where messages are sent.
    environment : mapping, default os.environ
        Variables of the launcher.

    Raises
    ------
    UserError
        A rank cannot use a GPU where "cuda" is asked for, or buffers of a device are asked for on
        the CPU.

    Notes
    -----
    A rank takes the device with its number on its node, modulo the number of devices that it sees;
    ranks that share a device share its memory.
    """
    if device == "cpu":
        if buffers == "device":
            with agreed(comm):
                raise UserError(
                    'run.buffers: messages of the CPU leave from host memory; set buffers = "host"'
                )
        return Host()
    reason = first_nonempty(allgather_text(comm, why_no_gpu()))
    if reason and device == "auto":
        warn(f'run.device "auto": {reason}; the run is on the CPU')
        return Host()
    with agreed(comm):
        if reason:
            raise UserError(f'run.device "cuda": {reason}; fix that, or set device = "cpu"')
    cupy = import_module("cupy")
    n_devices = cupy.cuda.runtime.getDeviceCount()
    if comm is None or comm.size == 1:
        return Cuda(cupy, local_rank(environment) % n_devices, buffers=buffers)
    node = split_type(comm, modules["mpi4py.MPI"].COMM_TYPE_SHARED)
    mine = node.rank % n_devices
    # by address, since a launcher may show each rank another device as its only one
    address = cupy.cuda.Device(mine).pci_bus_id
    sharing = allgather_text(node, address).count(address)
    free(node)
    return Cuda(cupy, mine, sharing, buffers)


def why_no_gpu() -> str:
    """Return why this process cannot use a GPU, or ""."""
    if "cupy" not in modules and util.find_spec("cupy") is None:
        return "CuPy is not installed (pip install 'mpidbo[cuda12]' or 'mpidbo[cuda13]')"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cupy = import_module("cupy")
        if not cupy.is_available():
            return (
                "CuPy finds no CUDA device (look at nvidia-smi and CUDA_VISIBLE_DEVICES, ask the "
                "batch system for a GPU)"
            )
        (cupy.zeros(1) + 1).get()  # compiles a kernel, which needs more libraries than memory does
    except Exception as error:
        return f"CuPy cannot be used here ({' '.join(str(error).split())})"
    return ""
