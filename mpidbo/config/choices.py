"""Keys of `[run]` whose values are names, with what other libraries call these names."""

from typing import Annotated, Any, Literal

from .._fields import Form, is_whole
from ..errors import Synonyms

MAX_THREADS = 4096


def is_workers(value: Any) -> bool:
    """Whether a value is one of `run.workers`."""
    return value == "auto" or (is_whole(value) and 1 <= value <= MAX_THREADS)


Dtype = Annotated[
    Literal["float64", "float32"],
    Synonyms(
        float64="double float f8 fp64 f64 64",
        float32="single float f4 fp32 f32 32 half float16 fp16 bfloat16",
    ),
]
Device = Annotated[
    Literal["cpu", "cuda", "auto"],
    Synonyms(cpu="host numpy", cuda="gpu cuda:0 nvidia cupy", auto="any default"),
]
Buffers = Annotated[Literal["host", "device"], Synonyms(host="cpu", device="gpu cuda")]
Batched = Annotated[
    Literal["exact", "always", "never"],
    Synonyms(exact="auto", always="true yes on", never="false no off none"),
]
Fused = Annotated[
    Literal["auto", "always", "never"],
    Synonyms(auto="default", always="true yes on numba", never="false no off none numpy"),
]
Workers = Annotated[
    int | Literal["auto"],
    Form(is_workers, '"auto" or a whole number, at least 1 and at most 4096'),
]
Checks = Annotated[
    Literal["start", "never"], Synonyms(start="true yes on always", never="false no off none skip")
]
Mode = Annotated[
    Literal["min", "max"],
    Synonyms(min="minimize minimum lower smaller", max="maximize maximum higher larger"),
]
"""Whether a metric is to become small or large."""
