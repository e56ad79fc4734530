"""One file of a data set: what is to be done with it, and what became of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from isofield import __version__
from isofield.resampling import Found, Options


@dataclass(frozen=True)
class Recipe:
    """How the files are carried. method, options : as for `resample`. series : all
    steps of each. step : of files with several, its number; None for the last. lossy :
    as for `isofield.io.write`. checked : what is wrong with the target was said."""

    method: str
    options: Options
    series: bool = False
    step: int | None = None
    lossy: bool = False
    checked: bool = False

    @property
    def text(self) -> str:
        """The recipe and the version of the library, as JSON with sorted keys."""
        words = {
            "version": __version__,
            "method": self.method,
            "series": self.series,
            "step": self.step,
            "lossy": self.lossy,
            "outside": "error",
            "masked": False,
            "max_distance": None,
            "partial": "overlap",
            **self.options,
            "fields": sorted(self.options.get("fields", ())),
        }
        return json.dumps(words, sort_keys=True)


@dataclass(frozen=True)
class Receipt:
    """What proves that an output is finished. key : of the source, the target and the
    recipe; made : of the output; both as in `fingerprint`. found, remarks : as in
    `Outcome`."""

    key: str
    made: str
    found: Found
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A source file, the target's file and the file to write; and what was noted when
    that was written before."""

    source: Path
    target: Path
    output: Path
    receipt: Receipt | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one source file.

    kept : the output was finished before, from the same content by the same options.
    found : what became of each field, by name and site. remarks : warnings on the way.
    error : why there is no output, in one line that begins with the source; "" where
    there is one.
    """

    source: Path
    output: Path
    kept: bool = False
    found: Found = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    error: str = ""
    receipt: Receipt | None = field(default=None, repr=False)
