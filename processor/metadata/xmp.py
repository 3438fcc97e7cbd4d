"""Reads XMP (ISO 16684-1): XML without declarations, of which a few properties are kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

#: The most bytes, elements, levels, and values of a property.
MAX_BYTES, MAX_ELEMENTS, MAX_DEPTH, MAX_VALUES = 128 * 1024, 5000, 24, 32
#: The most characters of a value.
MAX_VALUE = 2048

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_ITEM, _DESCRIPTION, _LANGUAGE = f"{_RDF} li", f"{_RDF} Description", "http://www.w3.org/XML/1998/namespace lang"
_DEFAULT = "x-default"
#: Stands for every property of a namespace that is not kept.
_OTHER = "other"
#: Short names of the namespaces that are kept.
_NAMESPACES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://cipa.jp/exif/1.0/": "exifEX",
    "http://ns.adobe.com/exif/1.0/aux/": "aux",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://www.metadataworkinggroup.com/schemas/regions/": "mwg-rs",
}


@dataclass(slots=True, kw_only=True)
class Xmp:
    """The values of properties, by names such as `dc:creator`."""

    values: dict[str, list[str]] = field(default_factory=dict)
    #: Something was left out, because it was damaged or too much.
    is_incomplete: bool = False

    def text(self, *names: str) -> str:
        """The first of these properties that has a value; empty if none has."""
        return next((self.values[name][0] for name in names if self.values.get(name)), "")

    def has(self, names: Collection[str]) -> bool:
        return not self.values.keys().isdisjoint(names)


class _Enough(Exception):
    """Nothing more is to be read."""


def read(data: memoryview | bytes) -> Xmp:
    """The properties up to damage or a bound. A document type is refused: no entity is ever declared or expanded."""
    reading = _Reading()
    whole = len(data) <= MAX_BYTES
    try:
        _parser(reading).Parse(bytes(data[:MAX_BYTES]).rstrip(b"\0"), whole)
    except (expat.ExpatError, _Enough, LookupError, ValueError):  # also a charset that Python does not know
        reading.found.is_incomplete = True
    if not whole:
        reading.found.is_incomplete = True
    return reading.found


class _Reading:
    """One pass over a document."""

    def __init__(self) -> None:
        self.found = Xmp()
        self._elements, self._path = 0, list[str]()
        self._text: list[str] = []
        #: The property of the picture that is being read, and at which depth it began.
        self._property, self._began = "", 0
        self._is_default = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._elements += 1
        if self._elements > MAX_ELEMENTS or len(self._path) >= MAX_DEPTH:
            raise _Enough
        if name == _DESCRIPTION and not self._property:
            for attribute, value in attributes.items():
                self._keep(_short(attribute), value)
        elif self._path[-1:] == [_DESCRIPTION] and not self._property:
            self._property, self._began = _short(name) or _OTHER, len(self._path)
        elif self._property:
            self._inside(name, attributes)
        self._text.clear()
        self._path.append(name)

    def _inside(self, name: str, attributes: Mapping[str, str]) -> None:
        self._is_default = name == _ITEM and attributes.get(_LANGUAGE) == _DEFAULT
        # Structures: each field is kept under its own name, as a person is in a region.
        if name == _DESCRIPTION:
            for attribute, value in attributes.items():
                self._keep(_short(attribute), value)

    def end(self, name: str) -> None:
        self._path.pop()
        text = "".join(self._text).strip()
        self._text.clear()
        if not self._property:
            return
        if text:
            key = self._property if name == _ITEM or len(self._path) == self._began else _short(name)
            self._keep("" if key == _OTHER else key, text, first=self._is_default)
        self._is_default = False
        if len(self._path) == self._began:
            if self._property != _OTHER:
                self.found.values.setdefault(self._property, [])
            self._property = ""

    def said(self, text: str) -> None:
        if self._property and sum(map(len, self._text)) < MAX_VALUE:
            self._text.append(text[:MAX_VALUE])

    def _keep(self, name: str, value: str, *, first: bool = False) -> None:
        """Keep a value; that of the default language goes before the others."""
        if not name:
            return
        values = self.found.values.setdefault(name, [])
        if len(values) >= MAX_VALUES:
            return
        values.insert(0 if first else len(values), value[:MAX_VALUE])


def _parser(reading: _Reading) -> expat.XMLParserType:
    """It holds the reading, which must not hold it: that would be a cycle."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.said
    return parser


def _refuse(*_: object) -> None:
    raise _Enough


def _short(name: str) -> str:
    """`dc:creator`; empty for a namespace that is not kept."""
    namespace, _, local = name.rpartition(" ")
    prefix = _NAMESPACES.get(namespace)
    return f"{prefix}:{local[:64]}" if prefix else ""
