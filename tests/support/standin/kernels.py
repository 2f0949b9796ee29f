"""Kernels written in CUDA C, compiled as C for the host and run thread by thread: those without
shared memory and barriers."""

import ctypes
import re
import shutil
import subprocess
import tempfile
from atexit import register
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .array import ndarray
from .operands import SCALARS, device, is_device, issue

C_NAMES = {
    "float64": "double",
    "float32": "float",
    "int64": "long long",
    "int32": "int",
    "int16": "short",
    "int8": "signed char",
    "uint64": "unsigned long long",
    "uint32": "unsigned int",
    "uint16": "unsigned short",
    "uint8": "unsigned char",
    "bool": "bool",
}
HEAD = """
#include <stdbool.h>
#include <stddef.h>
#include <tgmath.h>
#define __device__
#define __global__
#define __forceinline__ inline
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define __dadd_rn(a, b) ((double)(a) + (double)(b))
#define __dsub_rn(a, b) ((double)(a) - (double)(b))
#define __dmul_rn(a, b) ((double)(a) * (double)(b))
#define __ddiv_rn(a, b) ((double)(a) / (double)(b))
#define __dsqrt_rn(a) sqrt((double)(a))
#define __fadd_rn(a, b) ((float)((float)(a) + (float)(b)))
#define __fsub_rn(a, b) ((float)((float)(a) - (float)(b)))
#define __fmul_rn(a, b) ((float)((float)(a) * (float)(b)))
#define __fdiv_rn(a, b) ((float)((float)(a) / (float)(b)))
#define __fsqrt_rn(a) sqrt((float)(a))
typedef struct { int x, y, z; } dim3;
static dim3 blockIdx, threadIdx, blockDim, gridDim;
static inline long long clock64(void) { static long long cycles; return cycles += 1000000; }
"""


def compiler() -> str | None:
    """A C compiler of this machine."""
    return shutil.which("cc") or shutil.which("gcc")


@cache
def _folder() -> Path:
    path = Path(tempfile.mkdtemp(prefix="standin-"))
    register(shutil.rmtree, path, ignore_errors=True)
    return path


@cache
def _compiled(source: str) -> ctypes.CDLL:
    """The library of this source. Raises RuntimeError with what the compiler says."""
    cc = compiler()
    if cc is None:
        raise RuntimeError("no C compiler on this machine: the stand-in cannot run kernels")
    with tempfile.TemporaryDirectory(dir=_folder()) as made:
        library, file = Path(made) / "kernel.so", Path(made) / "kernel.c"
        file.write_text(HEAD + source)
        done = subprocess.run(
            [
                cc,
                "-O1",
                "-std=gnu11",
                "-ffp-contract=off",
                "-shared",
                "-fPIC",
                "-o",
                str(library),
                str(file),
                "-lm",
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{done.stderr}\n{source}")
        return ctypes.CDLL(str(library))


class Parameter:
    """`raw T name` and the like."""

    def __init__(self, text: str) -> None:
        *words, kind, self.name = [word for word in text.split() if word != "const"]
        if set(words) - {"raw"}:
            raise ValueError(f'Unknown keyword "{words[0]}"')
        self.raw, self.letter = "raw" in words, kind if len(kind) == 1 else ""
        self.dtype = None if self.letter else np.dtype(kind)
        if self.dtype is not None and self.dtype.name != kind:
            raise ValueError(f"Wrong type {kind}")


class ElementwiseKernel:
    def __init__(
        self,
        in_params: str,
        out_params: str,
        operation: str,
        name: str = "kernel",
        reduce_dims: bool = True,
        preamble: str = "",
        no_return: bool = False,
        return_tuple: bool = False,
        *,
        options: tuple[str, ...] = (),
        loop_prep: str = "",
        after_loop: str = "",
    ) -> None:
        if not name.isidentifier():
            raise ValueError(f'Invalid kernel name: "{name}"')
        self.ins, self.outs = (
            [Parameter(part) for part in text.split(",") if part.strip()]
            for text in (in_params, out_params)
        )
        if "i" in [p.name for p in (*self.ins, *self.outs)]:
            raise ValueError("Can not use 'i' as a parameter name")
        self.operation, self.name, self.preamble, self.loop_prep, self.after_loop = (
            operation,
            name,
            preamble,
            loop_prep,
            after_loop,
        )
        self.no_return, self.return_tuple, self.options = no_return, return_tuple, options

    def __call__(
        self, *args: Any, size: int = -1, block_size: int = 128, stream: Any = None
    ) -> Any:
        if len(args) not in (len(self.ins), len(self.ins) + len(self.outs)):
            raise TypeError(
                f"Wrong number of arguments for {self.name!r}. It must be either {len(self.ins)} "
                f"or {len(self.ins) + len(self.outs)} (with outputs), but given {len(args)}."
            )
        given: list[Any] = []
        for x in args:
            if not is_device(x) and type(x) not in SCALARS:
                raise TypeError(f"Unsupported type {type(x)}")
            given.append(device(x) if is_device(x) else x)
        outs = given[len(self.ins) :]
        if any(not isinstance(x, ndarray) for x in outs):
            raise TypeError("Output arguments type must be cupy.ndarray")
        spread = [
            x.shape
            for p, x in zip((*self.ins, *self.outs), given, strict=False)
            if isinstance(x, ndarray) and not p.raw
        ]
        if size != -1 and spread:
            raise ValueError("Specified 'size' can be used only if all of the ndarray are 'raw'.")
        if size == -1 and not spread:
            raise ValueError("Loop size is undecided.")
        shape = (size,) if size != -1 else np.broadcast_shapes(*spread)
        types = self._types(given)
        if not outs:
            if any(p.raw for p in self.outs) and size == -1:
                raise ValueError("Output array size is Undecided")
            outs = [ndarray(shape, types[p.letter] if p.letter else p.dtype) for p in self.outs]
        if any(x.shape != shape for p, x in zip(self.outs, outs, strict=True) if not p.raw):
            raise ValueError("Out shape is mismatched")
        work = _Work(self, types, shape, given[: len(self.ins)], outs)
        if stream is None:
            issue(work)
        else:
            with stream:
                issue(work)
        return (
            None
            if self.no_return
            else outs[0]
            if len(outs) == 1 and not self.return_tuple
            else tuple(outs)
        )

    def _types(self, given: list[Any]) -> dict[str, np.dtype[Any]]:
        """What each letter stands for: outputs decide, then inputs; a scalar takes the type that
        is asked for."""
        types: dict[str, np.dtype[Any]] = {}
        n = len(self.ins)
        for p, x in (
            *zip(self.outs, given[n:], strict=False),
            *zip(self.ins, given[:n], strict=True),
        ):
            if (
                isinstance(x, ndarray)
                and (p.dtype if p.dtype is not None else types.setdefault(p.letter, x.dtype))
                != x.dtype
            ):
                raise TypeError(
                    f"Type is mismatched. {p.name} {x.dtype} {p.dtype or types[p.letter]}"
                )
        missing = {p.letter for p in (*self.ins, *self.outs) if p.letter} - types.keys()
        if missing:
            raise KeyError(missing.pop())
        return types


class _Work:
    """One call of a kernel: compiled now, run later."""

    def __init__(
        self,
        kernel: ElementwiseKernel,
        types: dict[str, Any],
        shape: tuple[int, ...],
        ins: list[Any],
        outs: list[Any],
    ) -> None:
        self.kernel, self.shape = kernel, shape
        self.given = [
            (
                p,
                p.dtype if p.dtype is not None else types[p.letter],
                x._a if isinstance(x, ndarray) else x,
                out,
            )
            for params, arrays, out in ((kernel.ins, ins, False), (kernel.outs, outs, True))
            for p, x in zip(params, arrays, strict=True)
        ]
        formal, before, after = ["ptrdiff_t _n"], [], []
        for p, dtype, x, out in self.given:
            kind = C_NAMES[dtype.name]
            if not isinstance(x, np.ndarray):
                formal.append(f"const {kind} {p.name}")
            elif p.raw:
                formal.append(f"{'' if out else 'const '}{kind} *{p.name}")
            else:
                formal.append(f"{kind} *_raw_{p.name}")
                before.append(f"{'' if out else 'const '}{kind} {p.name} = _raw_{p.name}[i];")
                after += [f"_raw_{p.name}[i] = {p.name};"] * out
        letters = "".join(
            f"typedef {C_NAMES[dtype.name]} {letter};\n" for letter, dtype in sorted(types.items())
        )
        body = "\n".join([*before, kernel.operation.replace("_ind.size()", "_n"), ";", *after])
        self.call = getattr(
            _compiled(
                f"{letters}{kernel.preamble}\nvoid {kernel.name}({', '.join(formal)}) "
                f"{{\n{kernel.loop_prep};\n"
                f"for (ptrdiff_t i = 0; i < _n; ++i) {{\n{body}\n}}\n{kernel.after_loop};\n}}"
            ),
            kernel.name,
        )

    def __call__(self) -> None:
        arguments: list[Any] = [ctypes.c_ssize_t(int(np.prod(self.shape, dtype=int)))]
        held = []
        for p, dtype, x, out in self.given:
            if not isinstance(x, np.ndarray):
                arguments.append(
                    np.ctypeslib.as_ctypes_type(dtype)(np.asarray(x).astype(dtype).item())
                )
                continue
            plain = np.ascontiguousarray(x if p.raw else np.broadcast_to(x, self.shape))
            held.append((x, plain, out))
            arguments.append(ctypes.c_void_p(plain.ctypes.data))
        self.call(*arguments)
        for x, plain, out in held:
            if out and not np.may_share_memory(plain, x):
                x[...] = plain.reshape(x.shape)


class RawKernel:
    """`extern "C" __global__ void name(...)`; a call is kernel(grid, block, arguments)."""

    def __init__(
        self, code: str, name: str, options: tuple[str, ...] = (), backend: str = "nvrtc", **_: Any
    ) -> None:
        if found := re.search("__syncthreads|__shared__|__shfl|atomic|template", code):
            raise NotImplementedError(f"the stand-in runs thread by thread, without {found[0]}")
        self.code, self.name, self.options = code, name, options

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        *,
        shared_mem: int = 0,
    ) -> None:
        code = self.code.replace('extern "C"', "")
        formal = re.search(rf"__global__\s+void\s+{self.name}\s*\(([^)]*)\)", code)
        if formal is None:
            raise RuntimeError(f"no kernel {self.name}")
        names = [re.findall(r"\w+", part)[-1] for part in formal[1].split(",")]
        if len(names) != len(args):
            raise TypeError(f"{self.name} takes {len(names)} arguments, {len(args)} given")
        loops = "".join(
            f"for ({place}.{axis} = 0; {place}.{axis} < {size}.{axis}; ++{place}.{axis}) "
            for place, size in (("blockIdx", "gridDim"), ("threadIdx", "blockDim"))
            for axis in "zyx"
        )
        call = _compiled(
            f"{code}\nvoid _{self.name}(const dim3 *_sizes, {formal[1]}) {{\n"
            f"gridDim = _sizes[0]; blockDim = "
            f"_sizes[1];\n{loops}{self.name}({', '.join(names)});\n}}"
        )
        sizes = (ctypes.c_int * 6)(*(n for part in (grid, block) for n in (*part, 1, 1)[:3]))
        given = [_argument(x) for x in args]
        held = [device(x)._a for x in args if is_device(x)]
        run = getattr(call, f"_{self.name}")
        issue(lambda _: run(sizes, *given), held)


def _argument(x: Any) -> Any:
    if is_device(x):
        return ctypes.c_void_p(device(x)._a.ctypes.data)
    if type(x) not in SCALARS:
        raise TypeError(f"Unsupported type {type(x)}")
    scalar = np.asarray(x)
    return np.ctypeslib.as_ctypes_type(scalar.dtype)(scalar.item())


class RawModule:
    def __init__(
        self, *, code: str, options: tuple[str, ...] = (), backend: str = "nvrtc", **_: Any
    ) -> None:
        self.code, self.options = code, options

    def get_function(self, name: str) -> RawKernel:
        return RawKernel(self.code, name, self.options)
