"""Timings against named peers, measured in one run: `python -m tests.benchmarks`.

Every module here has a function `tables()` that yields tables of rich, one after the
other, as they are measured.
"""
