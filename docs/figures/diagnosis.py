"""Draw diagnosis.png, a bias, noise and slow progress: python docs/figures/diagnosis.py"""

from pathlib import Path

from matplotlib.figure import Figure

import mpidbo
from mpidbo import reports

STEPS = {"alpha": 0.05, "beta": 0.2, "gamma": 0.2}
CASES = {
    "bias": ("d-soba", {"noise": 0.0}, 1.0),
    "noise": ("sparkle-ed", {"noise": 0.3}, 1.0),
    "slow": ("sparkle-ed", {"noise": 0.0}, 0.1),
}
"""Title: (method, options of the problem, factor of the step sizes)."""
SCALES = ((1.0, "-"), (0.25, "--"))
"""Factors that all step sizes are multiplied by, and their lines."""
ITERATIONS = 2000


def main() -> None:
    figure = Figure(figsize=(8, 2.7), layout="constrained")
    panels = figure.subplots(1, len(CASES), sharey=True)
    for ax, color, (title, (method, options, factor)) in zip(
        panels, reports.COLORS, CASES.items(), strict=False
    ):
        for scale, style in SCALES:
            history = mpidbo.solve(
                {"name": "quadratic", **options},
                method,
                "ring",
                agents=8,
                steps={name: scale * factor * step for name, step in STEPS.items()},
                iterations=ITERATIONS,
                evaluate_every=10,
            ).history
            label = "step sizes" if scale == 1 else "a quarter of them"
            ax.semilogy(history["iteration"], history["distance"], style, color=color, label=label)
            print(f"{title} x {scale:g}: {history['distance'][-1]:.2g}")
        ax.set(title=title, xlabel="iterations", ylim=(5e-4, 1))
        ax.grid(color="0.9")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize="small", loc="lower left")
    panels[0].set_ylabel("distance to x*")
    reports.save(figure, Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
