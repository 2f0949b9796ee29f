"""`cupy.cuda`: one device, its streams and its memory."""

from types import SimpleNamespace
from typing import Any

from . import memory, streams
from .memory import (
    POOL,
    TOTAL,
    Memory,
    MemoryPointer,
    MemoryPool,
    OutOfMemoryError,
    PinnedMemoryPointer,
    alloc,
    alloc_pinned_memory,
)
from .streams import Event, Stream, get_current_stream

__all__ = [
    "Device",
    "Event",
    "Memory",
    "MemoryPointer",
    "MemoryPool",
    "OutOfMemoryError",
    "PinnedMemoryPointer",
    "Stream",
    "alloc",
    "alloc_pinned_memory",
    "get_current_stream",
    "get_device_id",
    "get_elapsed_time",
    "is_available",
    "memory",
    "runtime",
]


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int, printed: str) -> None:
        super().__init__(printed)
        self.status = status


class Device:
    """A device by its number. `count` is how many there are."""

    count = 1
    compute_capability = "90"
    attributes = {  # noqa: RUF012
        "MultiProcessorCount": 1,
        "WarpSize": 32,
        "Integrated": 0,
        "UnifiedAddressing": 1,
    }

    def __init__(self, device: "int | Device | None" = None) -> None:
        self.id = 0 if device is None else int(getattr(device, "id", device))

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id

    def __enter__(self) -> "Device":
        return self.use()

    def __exit__(self, *_: Any) -> None:
        pass

    def use(self) -> "Device":
        if not 0 <= self.id < Device.count:
            raise CUDARuntimeError(101, "cudaErrorInvalidDevice: invalid device ordinal")
        return self

    def synchronize(self) -> None:
        streams.synchronize_all()

    @property
    def mem_info(self) -> tuple[int, int]:
        return TOTAL - POOL.used_bytes(), TOTAL

    @property
    def pci_bus_id(self) -> str:
        return f"0000:{self.id:02x}:00.0"


def is_available() -> bool:
    return Device.count > 0


def get_device_id() -> int:
    return 0


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """Milliseconds between the work that two events stand behind: a number that means nothing
    here."""
    if start_event.disable_timing or end_event.disable_timing:
        raise CUDARuntimeError(400, "cudaErrorInvalidResourceHandle: invalid resource handle")
    if not (start_event.done and end_event.done):
        raise CUDARuntimeError(600, "cudaErrorNotReady: device not ready")
    return 1.0


runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=lambda: Device.count,
    getDevice=lambda: 0,
    setDevice=lambda i: Device(i).use(),
    getDeviceProperties=lambda i: {
        "name": b"a stand-in for a GPU",
        "totalGlobalMem": TOTAL,
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 1,
        "unifiedAddressing": 1,
    },
    deviceSynchronize=streams.synchronize_all,
    memGetInfo=lambda: Device().mem_info,
    driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 13000,
    is_hip=False,
)
