"""Write synthetic data sets in the formats that mpidbo reads: LIBSVM, and IDX as MNIST."""

import argparse
from pathlib import Path

import numpy as np


def records(path: Path, samples: int, features: int, noise: float, seed: int) -> None:
    """A LIBSVM file of two classes: the sides of a random plane, after noise."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal(features) / np.sqrt(features)
    X = rng.standard_normal((samples, features))
    labels = np.where(X @ normal + noise * rng.standard_normal(samples) > 0, 1, -1)
    path.write_text(
        "".join(
            f"{label:+d} " + " ".join(f"{j}:{value:.6g}" for j, value in enumerate(row, 1)) + "\n"
            for label, row in zip(labels, X, strict=True)
        )
    )


def images(
    folder: Path,
    samples: int,
    test: int,
    noise: float,
    seed: int,
    side: int = 28,
    classes: int = 10,
) -> None:
    """Images (B, side, side) of unsigned bytes: a random pattern for each class, and noise."""
    rng = np.random.default_rng(seed)
    patterns = rng.uniform(0, 255, (classes, side, side))
    folder.mkdir(parents=True, exist_ok=True)
    for part, size in (("train", samples), ("t10k", test)):
        labels = rng.integers(classes, size=size).astype(np.uint8)
        pixels = (
            (patterns[labels] + 255 * noise * rng.standard_normal((size, side, side)))
            .clip(0, 255)
            .astype(np.uint8)
        )
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))


def idx(array: np.ndarray) -> bytes:
    """An array of unsigned bytes in the IDX format."""
    return (
        bytes((0, 0, 8, array.ndim))
        + b"".join(size.to_bytes(4, "big") for size in array.shape)
        + array.tobytes()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    made = kinds.add_parser("records", help="a LIBSVM file of two classes")
    made.add_argument("path", type=Path)
    made.add_argument("--features", type=int, default=14)
    made.add_argument("--samples", type=int, default=690)
    made = kinds.add_parser("images", help="the four IDX files")
    made.add_argument("path", type=Path)
    made.add_argument("--test", type=int, default=100)
    made.add_argument("--samples", type=int, default=600)
    for made in kinds.choices.values():
        made.add_argument("--noise", type=float, default=0.5)
        made.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.kind == "records":
        records(args.path, args.samples, args.features, args.noise, args.seed)
    else:
        images(args.path, args.samples, args.test, args.noise, args.seed)


if __name__ == "__main__":
    main()
