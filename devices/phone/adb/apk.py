"""The package name and version inside an APK file, enough to install it by name."""

from __future__ import annotations

import io
import struct
import xml.etree.ElementTree as ElementTree
import zipfile
from dataclasses import dataclass
from typing import Final

from gui_agent.errors import DataError

_STRINGS: Final = 0x0001
_XML: Final = 0x0003
_START_ELEMENT: Final = 0x0102
_UTF8: Final = 1 << 8
_STRING_TYPE: Final = 0x03


@dataclass(frozen=True, slots=True, kw_only=True)
class ApkName:
    """What is installed: "com.example.app", "1.0"."""

    package: str
    version: str


def read_apk(data: bytes) -> ApkName:
    """Read the manifest, in Android's binary form or as plain XML.

    Raises:
        DataError: this is no APK.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            manifest = archive.read("AndroidManifest.xml")
        if manifest.lstrip().startswith(b"<"):
            root = ElementTree.fromstring(manifest)
            attributes = {name.rpartition("}")[2]: value for name, value in root.attrib.items()}
        else:
            attributes = _binary_attributes(manifest)
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, struct.error, IndexError) as error:
        raise DataError(f"not an APK ({error}): {len(data)} bytes") from error
    if not attributes.get("package"):
        raise DataError("the manifest of an APK names no package")
    return ApkName(package=attributes["package"], version=attributes.get("versionName", "1.0"))


def _binary_attributes(manifest: bytes) -> dict[str, str]:
    """String attributes of the first element of a binary XML file.

    Chunks follow each other: type, size of the header, size of the whole.
    """
    kind, header_size, _ = struct.unpack_from("<HHI", manifest, 0)
    if kind != _XML:
        raise DataError("the manifest of an APK is no XML")
    strings: list[str] = []
    at = header_size
    while at < len(manifest):
        kind, header_size, size = struct.unpack_from("<HHI", manifest, at)
        if kind == _STRINGS:
            strings = _string_pool(manifest, at, header_size)
        if kind == _START_ELEMENT:
            return _element_attributes(manifest, at + header_size, strings)
        at += max(size, 8)
    return {}


def _string_pool(data: bytes, at: int, header_size: int) -> list[str]:
    count, _, flags, start, _ = struct.unpack_from("<5I", data, at + 8)
    offsets = struct.unpack_from(f"<{count}I", data, at + header_size)
    return [_string(data, at + start + offset, utf8=bool(flags & _UTF8)) for offset in offsets]


def _string(data: bytes, at: int, *, utf8: bool) -> str:
    """A length of one or two units (the high bit of the first tells), then the characters."""
    if utf8:
        at += 2 if data[at] & 0x80 else 1  # the length in characters comes first
        length, at = (
            (((data[at] & 0x7F) << 8 | data[at + 1]), at + 2) if data[at] & 0x80 else (data[at], at + 1)
        )
        return data[at : at + length].decode(errors="replace")
    (length,) = struct.unpack_from("<H", data, at)
    return data[at + 2 : at + 2 + 2 * length].decode("utf-16-le", errors="replace")


def _element_attributes(data: bytes, at: int, strings: list[str]) -> dict[str, str]:
    _, _, start, size, count = struct.unpack_from("<IIHHH", data, at)
    found: dict[str, str] = {}
    for number in range(count):
        _, name, raw, _, _, kind, value = struct.unpack_from("<IIIHBBI", data, at + start + number * size)
        if kind == _STRING_TYPE:
            found[strings[name]] = strings[raw if raw != 0xFFFFFFFF else value]
    return found
