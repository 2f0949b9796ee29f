"""Where the arrays of a run live: in the memory of the host, or of one GPU for each rank. Chosen once, when a run is planned."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module, util
from sys import modules
from typing import Any

import numpy as np

from ..errors import UserError
from .agents import agreed, texts
from .collectives import free, split_type
from .lazy import TIME, Rows, compute, real, written

Array = Any
LOCAL_RANK = ("SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PMI_LOCAL_RANK", "PALS_LOCAL_RANKID", "FLUX_TASK_LOCAL_ID")
"""What launchers call a process's number on its node."""
LEFT = 0.05
"""Of a GPU's memory what the pools leave to CUDA itself and to others."""


class Host:
    """Arrays of numpy."""

    xp: Any = np
    name = "cpu"

    def array(self, rows: Array) -> Array:
        """The array itself, in the backend's memory, of what a method or the host has."""
        return rows

    def rows(self, array: Array) -> Array:
        """What a method is to work with, from an array of the host or of the backend."""
        return array

    def oracle(self, ask: Callable[..., Array]) -> Callable[..., Array]:
        """An oracle over a method's rows, from one over the backend's arrays."""
        return ask


class Cuda(Host):
    """Arrays of CuPy on one device; messages are made and copied on `stream`, beside the device's other work."""

    def __init__(self, cupy: Any, device: int, sharing: int = 1, buffers: str = "host") -> None:
        self.xp, self.cuda, self.buffers = cupy, cupy.cuda, buffers
        self.device = self.cuda.Device(device)
        self.device.use()
        self.name = f"cuda:{device}"
        if sharing > 1:
            cupy.get_default_memory_pool().set_limit(fraction=(1 - LEFT) / sharing)
        self.stream = self.cuda.Stream(non_blocking=True)
        self.ready, self.arrived = (self.cuda.Event(disable_timing=True) for _ in range(2))
        self.settle()

    def array(self, rows: Array) -> Array:
        return self.xp.asarray(real(rows))

    def rows(self, array: Array) -> Array:
        return array if type(array) is Rows else Rows(self.xp.asarray(array))

    def oracle(self, ask: Callable[..., Array]) -> Callable[..., Array]:
        def asked(*rows: Array) -> Array:
            if compute([part for part in rows if type(part) is Rows]):
                self.settle()                            # so that a message made of these rows need not wait for the oracle
            return Rows(ask(*[self.array(part) for part in rows]))

        return asked

    def settle(self) -> None:
        """What was begun until now is over once `ready` is."""
        self.ready.record()
        TIME.now += 1

    def message(self, rows: tuple[Array, ...], spare: Callable[[], Sequence[Array]]) -> tuple[Array, ...]:
        """The arrays of a message, which `stream` may read; other streams once it `arrive`s.

        Where all that it is made of was there when `ready` was recorded, it is computed into the `spare` arrays, which nobody else uses,
        beside what the device has begun since.
        """
        parts = [self.rows(part) for part in rows]
        if late := any(part.made() >= TIME.now for part in parts):
            compute(parts)
            self.settle()
        self.stream.wait_event(self.ready)
        if late:
            return tuple([part.array for part in parts])
        with self.stream:
            return tuple([part.array if part.known else written(part, target) for part, target in zip(parts, spare(), strict=True)])

    def arrive(self) -> None:
        """Have the device's work wait for what `stream` has begun until now."""
        self.arrived.record(self.stream)
        self.cuda.get_current_stream().wait_event(self.arrived)


HOST = Host()


def host(rows: Array) -> np.ndarray:
    """A numpy array of anything: rows of a method, an array of the device, an array of the host as it is."""
    array = real(rows)
    return array if isinstance(array, np.ndarray) or not hasattr(array, "get") else array.get()


def chosen(device: str, comm: Any, buffers: str = "host", environment: Mapping[str, str] = os.environ) -> Host:
    """The backend of `run.device` "cpu", "cuda" or "auto"; collective. Raises UserError where "cuda" cannot be had.

    A rank takes the device of its number on its node, modulo the devices that it sees; ranks that share one share its memory.
    "auto" is the CPU on all ranks, and a warning says why, unless all have a device.
    """
    if device == "cpu":
        if buffers == "device":
            with agreed(comm):
                raise UserError('run.buffers: messages of the CPU leave from host memory; set buffers = "host"')
        return Host()
    why = next(filter(None, texts(comm, lacking())), "")
    if why and device == "auto":
        warnings.warn(f'run.device "auto": {why}; the run is on the CPU', stacklevel=2)
        return Host()
    with agreed(comm):
        if why:
            raise UserError(f'run.device "cuda": {why}; mend that, or set device = "cpu"')
    cupy = import_module("cupy")
    if comm is None or comm.size == 1:
        return Cuda(cupy, _launched(environment) % cupy.cuda.runtime.getDeviceCount(), buffers=buffers)
    node = split_type(comm, modules["mpi4py.MPI"].COMM_TYPE_SHARED)
    mine = node.rank % cupy.cuda.runtime.getDeviceCount()
    address = cupy.cuda.Device(mine).pci_bus_id          # a launcher may show each rank another device as its only one
    sharing = texts(node, address).count(address)
    free(node)
    return Cuda(cupy, mine, sharing, buffers)


def lacking() -> str:
    """Why this process cannot use a GPU; "" if it can."""
    if "cupy" not in modules and util.find_spec("cupy") is None:
        return "CuPy is not installed (pip install 'mpidbo[cuda12]' or 'mpidbo[cuda13]')"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cupy = import_module("cupy")
        if not cupy.is_available():
            return "CuPy finds no CUDA device (look at nvidia-smi and CUDA_VISIBLE_DEVICES, ask the batch system for a GPU)"
        (cupy.zeros(1) + 1).get()                    # compiles a kernel, which needs more libraries than memory does
    except Exception as error:
        return f"CuPy cannot be used here ({' '.join(str(error).split())})"
    return ""


def _launched(environment: Mapping[str, str]) -> int:
    """What the launcher calls this process's number on its node."""
    return next((int(environment[name]) for name in LOCAL_RANK if environment.get(name, "").isdigit()), 0)
