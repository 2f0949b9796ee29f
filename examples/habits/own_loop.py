"""Habits of an own training loop: the run is an iterator, and the loop does what it likes."""

import mpidbo

longest = 0.0
with mpidbo.Solver("quadratic", agents=8, iterations=2000, evaluate_every=100) as solver:
    for progress in solver:
        far = abs(progress.x - progress.x_mean).max()
        longest = max(longest, far)
        print(f"{progress.iteration:5} {progress.row['upper_loss']:.4f} {far:.1e}")
        if progress.row["distance"] < 0.2:
            break
print(solver.result.x.shape, solver.result.message, f"{longest:.1e}")
