"""The command `isofield`: errors are one line, and nothing is left behind."""

from isofield.cli.program import main

__all__ = ["main"]
