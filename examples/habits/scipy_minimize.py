"""Habits of scipy.optimize.minimize: x0, a callback, a result with success, message and nit."""

import mpidbo


def near(progress):
    print(progress.iteration, f"{progress.row['distance']:.3f}", progress.x_mean[:2])
    return progress.row["distance"] < 0.2


result = mpidbo.solve("quadratic", x0=[0.3] * 5, agents=8, iterations=2000, callback=near)
print(result)
print(result.nit, result.success, result.message)
