"""Topologies and the gossip operator W @ s."""
