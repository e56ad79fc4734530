"""The sections of a Gmsh file and the numbers in them, text or binary."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isofield.io.registry import FormatError


@dataclass(frozen=True)
class Header:
    """What $MeshFormat says: version, text or binary, byte order, size of a size."""

    version: str
    binary: bool
    types: dict[str, np.dtype]


class Numbers:
    """Takes numbers one after another from the body of a section.

    Integers (`i`), sizes (`s`) and reals (`d`) differ in a binary file alone.
    """

    def __init__(self, body: bytes, header: Header, name: str):
        self.body, self.name, self.place = body, name, 0
        self.types = header.types
        self.text = None
        if not header.binary:
            try:
                self.text = np.array(body.split()).astype(np.float64)
            except ValueError as error:
                raise FormatError(f"section ${name}: not a number: {error}") from error

    def take(self, count: int, kind: str) -> np.ndarray:
        """The next `count` numbers."""
        count = int(count)
        if self.text is None:
            dtype = self.types[kind]
            size, left = count * dtype.itemsize, len(self.body) - self.place
        else:
            dtype = np.dtype(float)
            size, left = count, len(self.text) - self.place
        if count < 0 or size > left:
            raise FormatError(
                f"section ${self.name}: {count} more numbers were announced and the "
                f"section ends before them; the file is cut off or damaged"
            )
        if self.text is None:
            values = np.frombuffer(self.body, dtype, count, self.place)
        else:
            values = self.text[self.place : self.place + count]
        self.place += size
        return values.astype(np.float64 if kind == "d" else np.int64)

    def one(self, kind: str) -> int:
        return int(self.take(1, kind)[0])

    def rows(self, count: int, columns: str) -> list[np.ndarray]:
        """`count` rows whose columns have these kinds; one array for each column."""
        if self.text is not None:
            block = self.take(count * len(columns), "d").reshape(count, len(columns))
            return [
                block[:, i] if kind == "d" else block[:, i].astype(np.int64)
                for i, kind in enumerate(columns)
            ]
        dtype = np.dtype([(f"c{i}", self.types[k]) for i, k in enumerate(columns)])
        size = count * dtype.itemsize
        if count < 0 or size > len(self.body) - self.place:
            raise FormatError(
                f"section ${self.name}: {count} rows were announced and the section "
                f"ends before them; the file is cut off or damaged"
            )
        block = np.frombuffer(self.body, dtype, count, self.place)
        self.place += size
        return [block[name] for name in dtype.names or ()]


def read_bytes(path: Path) -> bytes:
    """The whole file; `FormatError` where it does not look like a Gmsh file."""
    data = Path(path).read_bytes()
    if b"$MeshFormat" not in data[:100_000]:
        raise FormatError(
            f"{path}: no $MeshFormat section, so this is not a Gmsh file of version "
            f"2 or 4"
        )
    return data


def split_sections(data: bytes) -> list[tuple[str, bytes]]:
    """(name, body) of every section, in the order of the file."""
    sections, place = [], 0
    opening = re.compile(rb"^[ \t]*\$(\w+)[^\n]*\n", re.MULTILINE)
    while found := opening.search(data, place):
        name = found[1]
        end = data.find(b"$End" + name, found.end())
        if end < 0:
            raise FormatError(
                f"section ${name.decode('ascii', 'replace')} has no end; the file is "
                f"cut off"
            )
        sections.append((name.decode("ascii", "replace"), data[found.end() : end]))
        place = end + len(name) + 4
    return sections


def read_header(body: bytes) -> Header:
    """The header from the body of $MeshFormat."""
    words = body.split(maxsplit=3)
    if len(words) < 3:
        raise FormatError("section $MeshFormat: expected version, file type, data size")
    version, binary = words[0].decode("ascii", "replace"), words[1] == b"1"
    if not (version.startswith("2") or version in ("4", "4.0", "4.1")):
        raise FormatError(
            f"Gmsh format {version} is not known; save it as 4.1 "
            f"(gmsh -format msh41) or 2.2"
        )
    order = "<"
    if binary:
        one = body[body.index(b"\n") + 1 :][:4]
        if one not in (b"\x01\0\0\0", b"\0\0\0\x01"):
            raise FormatError(
                "section $MeshFormat: the binary byte-order mark is wrong"
            )
        order = "<" if one[0] == 1 else ">"
    size = int(words[2])
    if size not in (4, 8):
        raise FormatError(f"section $MeshFormat: data size {size}, expected 4 or 8")
    if version.startswith("2"):
        size = 8
    types = {"i": "i4", "s": f"u{size}", "d": "f8"}
    return Header(
        version, binary, {kind: np.dtype(order + name) for kind, name in types.items()}
    )
