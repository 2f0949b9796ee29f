"""The average over all agents in place of W."""

from ..errors import UserError
from ..parallel import Cuda, raise_on_all_ranks
from . import gpu_exchange
from .compressors import Compressor
from .exchange import Central, Route
from .gossip import RoutedOperator


class Average(RoutedOperator):
    """The average over all agents: J = 11'/n in place of W, rows added in agent order."""

    @property
    def neighbours(self) -> set[int]:
        return {*range(self.agents.size)} - {self.agents.rank}

    def _planned(
        self,
        widths: list[int],
        weights: tuple[str, ...],
        compressors: tuple[Compressor | None, ...],
    ) -> Route:
        if any(compressors):
            error = UserError(
                "C @ s: the average over all agents sends rows in full; choose a strategy that "
                "mixes over a graph"
            )
            raise_on_all_ranks(error)
        if isinstance(self.backend, Cuda) and self.agents.comm is None:
            return gpu_exchange.Mean(widths, self.agents.n, self.dtype, self.backend)
        return Central(widths, self.dtype, self.agents, self.backend)
