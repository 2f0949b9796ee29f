"""A stand-in for CuPy on numpy's memory, for machines without a GPU: CuPy's refusals, numpy's
numbers, and as late as CUDA allows.

`install(monkeypatch)` makes it `cupy` and `cupyx`; `folder(path)` writes what PYTHONPATH needs so
that another process finds it too. What CuPy 14 refuses is refused here, and what it does not
promise is not given: host arrays in operations, numpy functions that CuPy lacks, numbers read
before the stream that brings them was waited for, memory used by one stream after it was let go by
another.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from . import cuda
from .array import array, ndarray
from .functions import (
    COMPUTED,
    CREATED,
    LINEAR,
    UFUNC,
    VIEWS,
    asarray,
    ascontiguousarray,
    asnumpy,
    copyto,
    empty,
    empty_like,
    get_array_module,
    may_share_memory,
    ndim,
    shape,
    size,
    where,
)
from .kernels import ElementwiseKernel, RawKernel, RawModule, compiler
from .memory import PINNED_POOL, POOL, empty_pinned, zeros_pinned
from .streams import COUNTS, synchronize_all

__all__ = [
    "COUNTS",
    "MODULES",
    "ElementwiseKernel",
    "RawKernel",
    "RawModule",
    "array",
    "asarray",
    "ascontiguousarray",
    "asnumpy",
    "compiler",
    "copyto",
    "cuda",
    "empty",
    "empty_like",
    "folder",
    "forget",
    "get_array_module",
    "install",
    "may_share_memory",
    "ndarray",
    "ndim",
    "shape",
    "size",
    "where",
]
__version__ = "14.2.0"
for name in (
    "bool_ can_cast dtype e finfo float32 float64 iinfo inf int8 int32 int64 nan newaxis pi "
    "promote_types uint8 uint32 uint64"
).split():
    globals()[name] = getattr(np, name)
linalg = ModuleType("cupy.linalg")
vars(linalg).update(LINEAR)
cupyx = ModuleType("cupyx")
vars(cupyx).update(empty_pinned=empty_pinned, zeros_pinned=zeros_pinned)
globals().update({**VIEWS, **COMPUTED, **CREATED, **UFUNC})
is_available = cuda.is_available
asanyarray = asarray


def get_default_memory_pool() -> Any:
    return POOL


def get_default_pinned_memory_pool() -> Any:
    return PINNED_POOL


MODULES = {"cupy": sys.modules[__name__], "cupy.cuda": cuda, "cupy.linalg": linalg, "cupyx": cupyx}


def forget() -> None:
    """Finish what is queued and count from 0."""
    synchronize_all()
    COUNTS.clear()
    POOL.set_limit(size=0)


def install(monkeypatch: Any) -> ModuleType:
    """`import cupy` and `import cupyx` find the stand-in as long as the test runs."""
    forget()
    for name, module in MODULES.items():
        monkeypatch.setitem(sys.modules, name, module)
    return MODULES["cupy"]


def folder(path: Path) -> Path:
    """A folder for PYTHONPATH in which another process finds the stand-in as `cupy`."""
    path.mkdir(parents=True, exist_ok=True)
    for name in ("cupy", "cupyx"):
        (path / f"{name}.py").write_text(
            f"import sys\nsys.path.append({str(Path(__file__).resolve().parents[2])!r})\n"
            "from support import standin\nsys.modules.update(standin.MODULES)\n"
        )
    return path
