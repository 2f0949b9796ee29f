"""Claims of the literature that `mpidbo reproduce` runs and judges, each in one file."""

from importlib import import_module

from .base import SIZES, Claim, Size
from .comparison import Comparison
from .finding import Finding
from .judging import Judgement, reproduce
from .outcome import Outcome

CLAIMS = {
    "corrected-strategies": "corrected_strategies:CorrectedStrategies",
    "d-soba-cleaning": "d_soba_cleaning:DSobaCleaning",
    "d-soba-variants": "d_soba_variants:DSobaVariants",
    "failing-link": "failing_link:FailingLink",
    "first-order": "first_order:FirstOrder",
    "gossip-graphs": "gossip_graphs:GossipGraphs",
    "gossip-policy-evaluation": "gossip_policy_evaluation:GossipPolicyEvaluation",
    "heterogeneity": "heterogeneity:Heterogeneity",
    "logistic-tuning": "logistic_tuning:LogisticTuning",
    "lost-rank": "lost_rank:LostRank",
    "mixed-strategies": "mixed_strategies:MixedStrategies",
    "partial-average": "partial_average:PartialAverage",
    "policy-evaluation": "policy_evaluation:PolicyEvaluation",
    "ridge-tuning": "ridge_tuning:RidgeTuning",
    "sparse-upper-graph": "sparse_upper_graph:SparseUpperGraph",
    "speed-up": "speed_up:SpeedUp",
    "strategy-pairs": "strategy_pairs:StrategyPairs",
    "sun-dsbo-cleaning": "sun_dsbo_cleaning:SunDsboCleaning",
    "sun-dsbo-heterogeneity": "sun_dsbo_heterogeneity:SunDsboHeterogeneity",
    "sun-dsbo-messages": "sun_dsbo_messages:SunDsboMessages",
    "sun-dsbo-nonconvex": "sun_dsbo_nonconvex:SunDsboNonconvex",
    "sun-dsbo-representation": "sun_dsbo_representation:SunDsboRepresentation",
    "sun-dsbo-speed-up": "sun_dsbo_speed_up:SunDsboSpeedUp",
    "sun-dsbo-variants": "sun_dsbo_variants:SunDsboVariants",
    "theta": "theta:Theta",
    "topology-order": "topology_order:TopologyOrder",
    "transient": "transient:Transient",
    "unbounded-dissimilarity": "unbounded_dissimilarity:UnboundedDissimilarity",
}
"""Name -> "module:Class" inside this folder; imported when used."""


def make_claim(name: str) -> Claim:
    """The claim of a name, one of CLAIMS."""
    module, _, cls = CLAIMS[name].partition(":")
    made: Claim = getattr(import_module(f".{module}", __package__), cls)()
    return made


__all__ = [
    "CLAIMS",
    "SIZES",
    "Claim",
    "Comparison",
    "Finding",
    "Judgement",
    "Outcome",
    "Size",
    "make_claim",
    "reproduce",
]
