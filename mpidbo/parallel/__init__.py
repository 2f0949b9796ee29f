"""Agents over MPI ranks, agreement between them, devices and threads."""
