"""Runnable comparisons, each with its figure and its peer: `python -m benchmarks --help`."""
