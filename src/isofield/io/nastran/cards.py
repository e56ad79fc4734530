"""A Nastran file as a list of bulk data cards, included files in their place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from isofield.io.registry import FormatError

_DEEPEST = 10


@dataclass
class Card:
    """One bulk data entry: its name in upper case and its fields as texts."""

    name: str
    fields: list[str] = field(default_factory=list)

    def text(self, place: int) -> str:
        """Field `place`, counted from 0 behind the name; empty where it is missing."""
        return self.fields[place] if place < len(self.fields) else ""

    def integer(self, place: int, default: int | None = None) -> int:
        text = self.text(place)
        try:
            return default if default is not None and not text else int(text)
        except ValueError as error:
            raise FormatError(
                f"card {self}: field {place + 2} is {text!r}, expected a whole number"
            ) from error

    def real(self, place: int) -> float:
        """A real number, also in the forms 1.5-3 and 2.D+4; blank is 0."""
        text = self.text(place)
        number = text.upper().replace("D", "E")
        try:
            return float(re.sub(r"(?<=[\d.])([+-])", r"E\1", number) or 0)
        except ValueError as error:
            raise FormatError(
                f"card {self}: field {place + 2} is {text!r}, expected a number"
            ) from error

    def __str__(self) -> str:
        return " ".join([self.name, *self.fields[:3]])


def read_cards(path: Path) -> Iterator[Card]:
    """The bulk data cards of the file and of all that it includes."""
    lines = list(_lines(path, 0))
    begins = [i for i, line in enumerate(lines) if re.match(r"(?i)BEGIN\b", line)]
    if len(begins) > 1:
        raise FormatError(
            "there are several BEGIN BULK sections (superelements), which are not read"
        )
    card: Card | None = None
    for line in lines[begins[0] + 1 if begins else 0 :]:
        if re.match(r"(?i)ENDDATA\b", line):
            break
        name, fields = _split(line)
        if name in ("", "+", "*"):
            if card is not None:
                card.fields += fields
            continue
        if card is not None:
            yield card
        card = Card(name, fields)
    if card is not None:
        yield card


def _lines(path: Path, depth: int) -> Iterator[str]:
    """Lines without comments and blank ends, tabs at every eighth column."""
    if depth > _DEEPEST:
        raise FormatError(f"INCLUDE is nested more than {_DEEPEST} deep")
    data = Path(path).read_bytes()
    if b"\0" in data[:4096]:
        raise FormatError("binary content; this is not a Nastran file")
    pending = ""
    for raw in data.decode("latin-1").splitlines():
        line = raw.partition("$")[0].expandtabs(8).rstrip()
        if pending or re.match(r"(?i)INCLUDE\b", line):
            pending += line.strip() if pending else line
            quotes = pending.count("'") + pending.count('"')
            if quotes == 1:
                continue
            yield from _included(pending, path, depth)
            pending = ""
        elif line:
            yield line


def _included(line: str, path: Path, depth: int) -> Iterator[str]:
    name = line[len("INCLUDE") :].strip().strip("'\"").replace("\\", "/")
    other = Path(path).parent / name
    if not other.is_file():
        raise FormatError(f"the file {name} that it includes is missing")
    yield from _lines(other, depth + 1)


def _split(line: str) -> tuple[str, list[str]]:
    """The name and the fields of a line; "", "+" or "*" names a continuation."""
    if "," in line:
        words = [word.strip() for word in line.split(",")]
        name = words[0].upper()
        wide = name.endswith("*")
        fields = words[1 : 5 if wide else 9]
    else:
        name = line[:8].strip().upper()
        wide = "*" in name
        width = 16 if wide else 8
        body = line[8:72].ljust(64)
        fields = [body[i : i + width].strip() for i in range(0, 64, width)]
    if name.startswith(("+", "*")):
        return name[0], fields
    return name.rstrip("*").strip(), fields
