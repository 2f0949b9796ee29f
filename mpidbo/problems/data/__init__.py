"""Data sets: fetching, reading, and splitting over agents."""
