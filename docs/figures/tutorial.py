"""Draw tutorial.png, D-SOBA and SPARKLE-ED of the tutorial: python docs/figures/tutorial.py"""

from pathlib import Path
from tempfile import TemporaryDirectory

import mpidbo
from mpidbo import reports


def main() -> None:
    with TemporaryDirectory() as folder:
        runs = [run(method, Path(folder, method)) for method in ("d-soba", "sparkle-ed")]
        figure = reports.draw_curves(runs, ["distance", "consensus_x"])
    reports.save(figure, Path(__file__).with_suffix(".png"))


def run(method: str, out: Path) -> mpidbo.Saved:
    """The tutorial's first run with a method."""
    mpidbo.solve(
        {"name": "linear-regression", "noise": 0.0},
        method,
        "ring",
        agents=8,
        steps={"alpha": 0.05, "beta": 0.2, "gamma": 0.2},
        iterations=1000,
        evaluate_every=25,
        out=out,
    )
    return mpidbo.load(out)


if __name__ == "__main__":
    main()
