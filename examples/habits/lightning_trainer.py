"""Habits of Lightning's Trainer: early stopping, the best checkpoint, a folder, resuming, a bar."""

import mpidbo

result = mpidbo.solve(
    "quadratic",
    agents=8,
    iterations=5000,
    stop={"metric": "distance", "patience": 5, "min_delta": 1e-3},  # EarlyStopping
    best={"metric": "distance", "mode": "min"},  # ModelCheckpoint(monitor=..., mode=...)
    out="runs/trained",
    checkpoint=100,
    resume="auto",  # the same script continues where it was killed
    progress=True,
)
print(result.iteration, result.message, result.best)
print(mpidbo.load("runs/trained").best.means["x"])  # best_model_path
