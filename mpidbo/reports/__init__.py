"""Text and figures of runs, plans and topologies."""
