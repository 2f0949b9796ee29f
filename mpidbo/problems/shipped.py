"""The shipped problems, each under its name."""

PROBLEMS = {
    "quadratic": "quadratic:Quadratic",
    "hyper-cleaning": "hyper_cleaning:HyperCleaning",
    "logistic-tuning": "logistic_tuning:LogisticTuning",
    "linear-regression": "linear_regression:LinearRegression",
    "policy-evaluation": "policy_evaluation:PolicyEvaluation",
    "policy-evaluation-residual": "policy_evaluation:ResidualPolicyEvaluation",
    "nonconvex-toy": "nonconvex_toy:NonconvexToy",
    "australian": "australian:Australian",
    "meta-learning": "meta_learning:MetaLearning",
    "hyper-representation": "hyper_representation:HyperRepresentation",
    "domain-reweighting": "domain_reweighting:DomainReweighting",
    "minimax": "minimax:Minimax",
    "compositional": "compositional:Compositional",
    "unbounded-dissimilarity": "unbounded_dissimilarity:UnboundedDissimilarity",
}
"""name -> "module:Class" inside this package; imported when asked for."""
