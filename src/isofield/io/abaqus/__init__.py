"""Abaqus and CalculiX input files, `.inp`: geometry and sets, no fields.

*PART and *INSTANCE with translation and rotation, *INCLUDE, *NODE, *ELEMENT, *NSET,
*ELSET and *SURFACE are read; the other keywords (materials, steps, loads) are passed
over. Points come in the order of the file, cells type by type in the order of the file.
"""

from __future__ import annotations

from pathlib import Path

from isofield.io.abaqus.assemble import assemble
from isofield.io.abaqus.elements import WRITTEN
from isofield.io.abaqus.read import read_deck
from isofield.io.abaqus.write import fitted_abaqus, write_abaqus
from isofield.io.registry import Format, FormatError, Holds
from isofield.mesh import Mesh

_NAMES = r'[A-Za-z_]([^,="\r\n]{0,78}[^,="\s])?'


def read_abaqus(path: Path) -> Mesh:
    """The mesh of an input file; raises `FormatError`."""
    deck = read_deck(path)
    instances = [instance.part for instance in deck.instances]
    if not any(part.nodes for part in (deck.model, *deck.parts.values(), *instances)):
        raise FormatError(f"{path}: there is no *NODE in it, so it holds no mesh")
    try:
        return assemble(deck, path)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def _claims(path: Path) -> bool:
    """Whether the first line that says anything is a keyword or a comment."""
    with open(path, "rb") as file:
        head = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    return head.startswith(b"*") and b"\0" not in head


FORMAT = Format(
    name="Abaqus",
    suffixes=(".inp",),
    read=read_abaqus,
    write=write_abaqus,
    fitted=fitted_abaqus,
    holds=Holds(
        cells=frozenset(WRITTEN),
        point_sets=_NAMES,
        cell_sets=_NAMES,
        facet_sets=_NAMES,
    ),
    claims=_claims,
    apart=True,
)
