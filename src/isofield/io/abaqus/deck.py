"""An Abaqus input file as a list of keyword blocks, included files in their place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from isofield.io.registry import FormatError

_DEEPEST = 10


@dataclass
class Block:
    """One keyword with its parameters and data lines.

    keyword : upper case, single spaces. parameters : upper-case name -> text as it
    stands, without quotes. `line` is where it begins in `path`, for messages.
    """

    keyword: str
    parameters: dict[str, str]
    path: Path
    line: int
    data: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        return f"{self.path}, line {self.line}, *{self.keyword}"


def read_blocks(path: Path, depth: int = 0) -> Iterator[Block]:
    """The blocks of the file, those of files named by *INCLUDE among them."""
    if depth > _DEEPEST:
        raise FormatError(f"{path}: *INCLUDE is nested more than {_DEEPEST} deep")
    block: Block | None = None
    for number, line in _logical_lines(path):
        if line.startswith("*"):
            if block is not None:
                yield from _included(block, depth)
            block = _keyword(line, path, number)
        elif block is None and line:
            raise FormatError(
                f"{path}, line {number}: expected a keyword such as *NODE, found "
                f"{line[:40]!r}; this is not an Abaqus input file"
            )
        elif block is not None and line:
            block.data.append(line)
    if block is not None:
        yield from _included(block, depth)


def _logical_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines without comments; a keyword line that ends in a comma is joined on."""
    try:
        text = Path(path).read_bytes().decode("latin-1").removeprefix("ï»¿")
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from error
    if "\0" in text[:4096]:
        raise FormatError(f"{path}: binary content; this is not an Abaqus input file")
    pending, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("**"):
            continue
        line = line.strip()
        if pending:
            line, number = pending + line, start
            pending = ""
        if line.startswith("*") and line.endswith(","):
            pending, start = line, number
            continue
        yield number, line
    if pending:
        yield start, pending


def _keyword(line: str, path: Path, number: int) -> Block:
    name, *words = _split(line[1:])
    parameters = {}
    for word in words:
        key, _, value = word.partition("=")
        if key.strip():
            parameters[key.strip().upper()] = value.strip().strip('"')
    return Block(" ".join(name.upper().split()), parameters, path, number)


def _split(text: str) -> list[str]:
    """Splits at commas outside quotes."""
    if '"' not in text:
        return text.split(",")
    parts = text.split('"')
    parts[::2] = [part.replace(",", "\n") for part in parts[::2]]
    return '"'.join(parts).split("\n")


def fields(line: str) -> list[str]:
    """The comma-separated fields of a data line, without the empty ones at its end."""
    words = [word.strip().strip('"') for word in _split(line)]
    while words and not words[-1]:
        words.pop()
    return words


def _included(block: Block, depth: int) -> Iterator[Block]:
    """The block, with the data of another file or replaced by its blocks."""
    name = block.parameters.get("INPUT")
    if block.keyword not in ("INCLUDE", "NODE", "ELEMENT", "NSET", "ELSET") or not name:
        yield block
        return
    path = block.path.parent / name.replace("\\", "/")
    if not path.is_file():
        raise FormatError(f"{block.place}: the file {name} that it names is missing")
    if block.keyword == "INCLUDE":
        yield from read_blocks(path, depth + 1)
    else:
        block.data = [text for _, text in _logical_lines(path) if text]
        yield block
