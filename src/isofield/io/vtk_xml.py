"""The data arrays of VTK's XML files: ascii, base64 and appended, plain or packed."""

from __future__ import annotations

import base64
import lzma
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np

from isofield.io.registry import FormatError

DTYPES = {
    **{f"{sign}Int{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U")
       for bits in (8, 16, 32, 64)},
    "Float32": "float32",
    "Float64": "float64",
    "String": "int8",
}  # fmt: skip
VTK_DTYPES = {dtype: name for name, dtype in DTYPES.items() if name != "String"}
SHAPE = "isofield_shape"
DTYPE = "isofield_dtype"


@dataclass(frozen=True)
class VtkXml:
    """A parsed file: its elements and what is needed to unpack their arrays."""

    root: ElementTree.Element
    byte_order: Literal["<", ">"]
    header: np.dtype
    unpack: Callable[[bytes, int], bytes] | None
    appended: bytes
    raw: bool


def parsed(path: Path) -> VtkXml:
    """The elements of a VTK XML file, its appended block set aside.

    Raises `FormatError` where the file is no VTK XML file or its compressor is unknown.
    """
    content = path.read_bytes()
    start = content.find(b"<AppendedData")
    appended, raw = b"", False
    if start >= 0:
        mark = content.find(b"_", content.find(b">", start))
        end = content.rfind(b"</AppendedData>")
        if mark < 0 or end < mark:
            raise FormatError("the appended block is cut off: the file is truncated")
        raw = b'"raw"' in content[start:mark] or b"'raw'" in content[start:mark]
        appended = content[mark + 1 : end]
        content = content[:start] + b"</VTKFile>"
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise FormatError(f"no complete XML: {error}") from error
    if root.tag != "VTKFile":
        raise FormatError(f"expected <VTKFile> as the outer element, got <{root.tag}>")
    name = root.get("compressor", "")
    if name and name not in _UNPACK:
        raise FormatError(f"unknown compressor {name!r}; known are {list(_UNPACK)}")
    order: Literal["<", ">"] = ">" if root.get("byte_order") == "BigEndian" else "<"
    header = np.dtype(DTYPES[root.get("header_type", "UInt32")]).newbyteorder(order)
    if not raw:
        appended = re.sub(rb"\s+", b"", appended)
    return VtkXml(root, order, header, _UNPACK.get(name), appended, raw)


def array(document: VtkXml, element: ElementTree.Element) -> np.ndarray:
    """The values of one DataArray with their own shape and dtype.

    One component gives (K,), more give (K, components); arrays that this library wrote
    return to the shape and dtype noted beside them. Texts give an array of str, a
    single one of shape ().
    """
    kind = element.get("type", "")
    if kind not in DTYPES:
        raise FormatError(f"array {element.get('Name')!r} is of unknown type {kind!r}")
    dtype = np.dtype(DTYPES[kind]).newbyteorder(document.byte_order)
    if element.get("format", "ascii") == "ascii":
        values = np.array((element.text or "").split(), dtype=dtype.newbyteorder("="))
    else:
        values = np.frombuffer(_payload(document, element), dtype)
        values = values.astype(dtype.newbyteorder("="))
    if kind == "String":
        texts = values.astype(np.uint8).tobytes().split(b"\0")[:-1]
        values = np.array([text.decode() for text in texts], dtype=np.str_)
    return _shaped(values, element)


def _shaped(values: np.ndarray, element: ElementTree.Element) -> np.ndarray:
    if element.get(DTYPE) == "bool":
        values = values.astype(bool)
    if (noted := element.get(SHAPE)) is not None:
        return values.reshape([int(size) for size in noted.split()])
    if values.dtype.kind == "U":
        return values.reshape(()) if values.size == 1 else values
    components = int(element.get("NumberOfComponents") or 1)
    return values if components <= 1 else values.reshape(-1, components)


def _payload(document: VtkXml, element: ElementTree.Element) -> bytes:
    if element.get("format") == "appended":
        offset = int(element.get("offset", "0"))
        stream = document.appended[offset:]
        if not document.raw:
            stream = _from_base64(stream[: _encoded_end(document, offset)])
    else:
        stream = _from_base64("".join((element.text or "").split()).encode())
    if not stream:
        return b""
    return _unpacked(document, stream, element.get("Name", ""))


def _encoded_end(document: VtkXml, offset: int) -> int | None:
    """How long the base64 text at `offset` is: up to the next array's offset."""
    offsets = {
        int(element.get("offset", "0"))
        for element in document.root.iter("DataArray")
        if element.get("format") == "appended"
    }
    later = [other for other in offsets if other > offset]
    return min(later) - offset if later else None


def _from_base64(text: bytes) -> bytes:
    """Decoded text, which may be several encoded pieces one after the other."""
    pieces = re.findall(rb"[^=]+={0,2}", text)
    return b"".join(base64.b64decode(piece, validate=True) for piece in pieces)


def _unpacked(document: VtkXml, stream: bytes, name: str) -> bytes:
    header = document.header
    if document.unpack is None:
        size = int(np.frombuffer(stream, header, 1)[0])
        data = stream[header.itemsize : header.itemsize + size]
        if len(data) != size:
            raise FormatError(
                f"array {name!r} should have {size} bytes, there are {len(data)}: the "
                "file is truncated"
            )
        return data
    count = int(np.frombuffer(stream, header, 1)[0])
    if count == 0:
        return b""
    sizes = np.frombuffer(stream, header, 3 + count).astype(np.int64)
    ends = header.itemsize * (3 + count) + np.cumsum(sizes[3:])
    if ends[-1] > len(stream):
        raise FormatError(f"array {name!r} is cut off: the file is truncated")
    blocks = [
        document.unpack(stream[end - size : end], int(sizes[1]))
        for end, size in zip(ends, sizes[3:], strict=True)
    ]
    return b"".join(blocks)


def _unpack_lz4(block: bytes, _size: int) -> bytes:
    """One LZ4 block: literals, then a copy from `back` bytes before, and again."""
    out, at = bytearray(), 0

    def extended(length: int) -> int:
        nonlocal at
        if length == 15:
            while True:
                length += block[at]
                at += 1
                if block[at - 1] != 255:
                    break
        return length

    while at < len(block):
        token = block[at]
        at += 1
        literals = extended(token >> 4)
        out += block[at : at + literals]
        at += literals
        if at >= len(block):
            break
        back = block[at] | block[at + 1] << 8
        at += 2
        length = extended(token & 15) + 4
        if not 0 < back <= len(out):
            raise FormatError("an LZ4 block is damaged")
        chunk = bytes(out[-back:][:length])
        out += (chunk * (length // len(chunk) + 1))[:length]
    return bytes(out)


_UNPACK: dict[str, Callable[[bytes, int], bytes]] = {
    "vtkZLibDataCompressor": lambda block, size: zlib.decompress(block),
    "vtkLZMADataCompressor": lambda block, size: lzma.decompress(block),
    "vtkLZ4DataCompressor": _unpack_lz4,
}
