"""Array types of signatures, with shapes in the notation of jaxtyping.

`Float[Array, "m p"]` is an array of floats of shape (m, p). Type checkers see jaxtyping's types. At
run time they are plain `Any`, because jaxtyping takes 50 ms to import on each rank; with
MPIDBO_CHECK_SHAPES set they are jaxtyping's own, so that its import hook can check every call.
"""

import os
from typing import TYPE_CHECKING, Any, TypeAlias

Array: TypeAlias = Any
"""An array of numpy or CuPy, or lazy rows of either (`parallel.lazy`)."""

if TYPE_CHECKING or os.environ.get("MPIDBO_CHECK_SHAPES"):
    from jaxtyping import Bool, Float, Int
else:

    class _Unchecked:
        """Replaces jaxtyping's types: any subscript gives `Any`."""

        def __class_getitem__(cls, item: Any) -> Any:
            return Any

    Bool = Float = Int = _Unchecked

__all__ = ["Array", "Bool", "Float", "Int"]
