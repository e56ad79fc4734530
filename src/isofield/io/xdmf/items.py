"""XDMF's light data: its data items, its includes and its tree of grids."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from isofield.io.registry import FormatError

Element = ElementTree.Element
_STEP = re.compile(r"([\w*]+)((?:\[[^\]]*\])*)")


@dataclass(frozen=True, eq=False)
class Xdmf:
    """A parsed file; `files` keeps the heavy files that are open, by name."""

    path: Path
    root: Element
    files: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Xdmf:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.files.values():
            file.close()


def opened(path: Path) -> Xdmf:
    """The light data of `path`, to be used in a `with`.

    Raises `FormatError` where it is no complete XDMF file.
    """
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError as error:
        raise FormatError(f"no complete XML: {error}") from error
    if root.tag != "Xdmf":
        raise FormatError(f"expected <Xdmf> as the outer element, got <{root.tag}>")
    return Xdmf(path, root)


def children(file: Xdmf, element: Element) -> list[Element]:
    """The elements inside `element`, with what XInclude elements point to."""
    found = []
    for child in element:
        if child.tag.endswith("}include"):
            found.extend(_included(file, child))
        else:
            found.append(child)
    return found


def _included(file: Xdmf, element: Element) -> list[Element]:
    if element.get("href"):
        raise FormatError("an include of another file is not supported; use one file")
    text = element.get("xpointer", "")
    match = re.fullmatch(r"xpointer\((.*)\)", text)
    found = selected(file.root, match.group(1)) if match else []
    if not found:
        raise FormatError(f"the include {text!r} points to nothing in the file")
    return found


def selected(root: Element, path: str) -> list[Element]:
    """The elements that an XPath names, of which these forms are known: `//` in front,
    names, `*`, `[n]`, `[@a="b"]` and `[self::a or self::b]`."""
    found = [root]
    if path.startswith("//"):
        found = list(root.iter())
    for name, conditions in _STEP.findall(re.sub(r"^/?Xdmf/|^//", "", path)):
        lists = [_matching(list(parent), name, conditions) for parent in found]
        found = [match for matches in lists for match in matches]
    return list(dict.fromkeys(found))


def _matching(elements: list[Element], name: str, conditions: str) -> list[Element]:
    kept = [one for one in elements if name in ("*", one.tag)]
    for condition in re.findall(r"\[([^\]]*)\]", conditions):
        if condition.strip().isdigit():
            kept = kept[int(condition) - 1 :][:1]
        elif condition.startswith("@"):
            key, _, value = condition[1:].partition("=")
            kept = [one for one in kept if one.get(key.strip()) == value.strip("\"' ")]
        else:
            names = re.findall(r"self::(\w+)", condition)
            kept = [one for one in kept if one.tag in names]
    return kept


def values(file: Xdmf, item: Element) -> np.ndarray:
    """The array of a data item: inline, in an HDF5 file, in a binary file, or a slab.

    Raises `FormatError` where the heavy file or the data set in it is missing.
    """
    reference = item.get("Reference")
    if reference:
        text = (item.text or "") if reference == "XML" else reference
        found = selected(file.root, text.strip())
        if not found:
            raise FormatError(f"the reference {text.strip()!r} points to nothing")
        return values(file, found[0])
    kind = item.get("ItemType", "Uniform")
    if kind == "HyperSlab":
        return _slab(file, item)
    if kind != "Uniform":
        raise FormatError(f"data items of type {kind!r} are not supported")
    shape = [int(size) for size in (item.get("Dimensions") or "-1").split()]
    where = item.get("Format", "XML").upper()
    text = (item.text or "").strip()
    if where == "XML":
        return np.array(text.split(), dtype=_dtype(item)).reshape(shape)
    if where == "HDF":
        return _heavy(file, text)
    if where == "BINARY":
        order = ">" if item.get("Endian") == "Big" else "<"
        dtype = _dtype(item).newbyteorder(order)
        count = int(np.prod(shape))
        seek = int(item.get("Seek", "0"))
        array = np.fromfile(file.path.parent / text, dtype, count, offset=seek)
        return array.astype(_dtype(item)).reshape(shape)
    raise FormatError(f"data of the format {where!r} is not supported")


def _dtype(item: Element) -> np.dtype:
    kind = item.get("NumberType") or item.get("DataType") or "Float"
    size = {"Char": "1", "UChar": "1"}.get(kind, item.get("Precision") or "4")
    letter = {"Float": "f", "Int": "i", "Char": "i", "UInt": "u", "UChar": "u"}
    if kind not in letter:
        raise FormatError(f"unknown NumberType {kind!r}; known are {list(letter)}")
    return np.dtype(f"{letter[kind]}{size}")


def _heavy(file: Xdmf, text: str) -> np.ndarray:
    import h5py

    name, _, inside = text.rpartition(":")
    if name not in file.files:
        heavy = file.path.parent / name
        if not heavy.is_file():
            raise FormatError(
                f"its heavy data file {name!r} is not beside it; copy both together"
            )
        file.files[name] = h5py.File(heavy, "r")
    data = file.files[name].get(inside)
    if not isinstance(data, h5py.Dataset):
        raise FormatError(f"the heavy data file {name!r} has no data set {inside!r}")
    array = np.asarray(data[()])
    return array.astype(array.dtype.newbyteorder("="))


def _slab(file: Xdmf, item: Element) -> np.ndarray:
    """A part of an array: start, stride and count along each of its axes."""
    selection, source = (
        values(file, child) for child in item if child.tag == "DataItem"
    )
    start, stride, count = selection.reshape(3, -1).astype(int).tolist()
    part = tuple(
        slice(first, first + step * number, step)
        for first, step, number in zip(start, stride, count, strict=True)
    )
    if source.ndim != len(start):
        raise FormatError(f"a slab of {len(start)} axes of an array of {source.ndim}")
    return source[part]
