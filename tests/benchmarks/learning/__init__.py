"""Tasks to learn from solvers' data, and what networks make of them.

Not run by `make test` or `make bench`: `make bench-learning` writes the data under
`benchmark-data/` (once), trains and tests; `--report` writes what came of it.
"""
