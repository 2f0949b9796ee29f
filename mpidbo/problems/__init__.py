"""The shipped problems, each under its name."""

from .base import ORACLES, Problem

PROBLEMS = {
    "quadratic": "quadratic:Quadratic",
    "hyper-cleaning": "hyper_cleaning:HyperCleaning",
    "logistic-tuning": "logistic_tuning:LogisticTuning",
    "linear-regression": "linear_regression:LinearRegression",
    "policy-evaluation": "policy_evaluation:PolicyEvaluation",
    "policy-evaluation-residual": "policy_evaluation:ResidualPolicyEvaluation",
    "nonconvex-toy": "nonconvex_toy:NonconvexToy",
}
"""name -> "module:Class" inside this package; imported when asked for."""

__all__ = ["ORACLES", "PROBLEMS", "Problem"]
