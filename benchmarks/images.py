"""Random images in MNIST's format, and the problem that is measured on such."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np


def random_images(folder: Path, count: int, prefix: str) -> None:
    """Files of MNIST's form with random pixels: speed does not depend on what they show."""
    rng = np.random.default_rng(0)
    for name, shape, top in (
        (f"{prefix}-images-idx3-ubyte.gz", (count, 28, 28), 256),
        (f"{prefix}-labels-idx1-ubyte.gz", (count,), 10),
    ):
        head = bytes([0, 0, 8, len(shape)]) + b"".join(
            int(side).to_bytes(4, "big") for side in shape
        )
        with gzip.open(folder / name, "wb", compresslevel=1) as file:
            file.write(head + rng.integers(0, top, shape, dtype=np.uint8).tobytes())


def perceptron(folder: Path | str, batch: int) -> dict[str, Any]:
    """Hyper-cleaning with a perceptron 784-300-10: the table [problem]."""
    return {
        "name": "hyper-cleaning",
        "data": str(folder),
        "model": "mlp",
        "hidden": [300],
        "batch": batch,
        "n_train": 5000,
        "n_validation": 1000,
    }
