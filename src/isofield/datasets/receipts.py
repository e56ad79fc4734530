"""The list of finished files in the folder of a data set, one JSON object a line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from isofield.datasets.task import Receipt
from isofield.files import replaced
from isofield.resampling import Together, together

NAME = "resampled.jsonl"


def noted(folder: Path) -> dict[str, Receipt]:
    """Output name -> receipt, the last of each; the list is written anew, in the order
    of the names and without what cannot be read, such as a line that was cut off."""
    path = folder / NAME
    if not path.is_file():
        return {}
    lines: dict[str, str] = {}
    receipts = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            words = json.loads(line)
            receipts[words["output"]] = _receipt(words)
        except (ValueError, LookupError, TypeError, AttributeError):
            continue
        lines[words["output"]] = line
    text = "".join(f"{line}\n" for _, line in sorted(lines.items()))
    replaced(path, lambda part: part.write_text(text, encoding="utf-8"))
    return receipts


def note(folder: Path, output: str, receipt: Receipt) -> None:
    """Append a finished file."""
    words = {
        "output": output,
        "key": receipt.key,
        "made": receipt.made,
        "remarks": receipt.remarks,
        "fields": [_words(one) for one in receipt.found.values()],
    }
    with (folder / NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(words, allow_nan=False) + "\n")


def _words(one: Together) -> dict[str, Any]:
    integral = one.integral and [_numbers(side) for side in one.integral]
    return {
        **{field.name: getattr(one, field.name) for field in fields(one)},
        "integral": integral,
        "range": [_numbers(side) for side in one.range],
        "furthest": _numbers([one.furthest])[0],
    }


def _receipt(words: Mapping[str, Any]) -> Receipt:
    found = together(*map(_together, words["fields"]))
    return Receipt(words["key"], words["made"], found, tuple(words["remarks"]))


def _together(words: Mapping[str, Any]) -> Together:
    integral = words["integral"]
    before, after = ((float(a), float(b)) for a, b in words["range"])
    return Together(
        **{
            **words,
            "integral": integral and tuple(map(_array, integral)),
            "range": (before, after),
            "furthest": float(words["furthest"]),
        }
    )


def _array(side: list[float]) -> np.ndarray:
    return np.array(side, dtype=np.float64)


def _numbers(values: Any) -> list[float | str]:
    """JSON knows no NaN and no infinity: as text."""
    return [float(x) if math.isfinite(x) else str(float(x)) for x in values]
