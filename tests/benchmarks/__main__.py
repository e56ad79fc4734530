"""Run all benchmarks, or those named: `python -m tests.benchmarks neighbours`."""

import importlib
import pkgutil
import sys

import torch
from rich.console import Console

from tests import benchmarks


def main() -> None:
    found = pkgutil.iter_modules(benchmarks.__path__)
    names = [module.name for module in found if not module.ispkg]
    names = sys.argv[1:] or [name for name in names if not name.startswith("__")]
    torch.set_num_threads(1)
    console = Console(width=100)
    console.print("One thread; medians of alternating repetitions; seconds.")
    for name in names:
        for table in importlib.import_module(f"tests.benchmarks.{name}").tables():
            console.print(table)


if __name__ == "__main__":
    main()
