"""The file that variants are made from: its metadata, and how much of that they keep."""

from __future__ import annotations

from functools import cached_property
from xml.sax.saxutils import escape

import pyvips

from processor.metadata.reading import Metadata, read_metadata
from processor.pipeline.encode import KEEP_NOTHING, KEEP_PROFILE, KEEP_XMP
from processor.pipeline.steps.srgb import PROFILE_FIELD, profile_to_keep
from processor.recipes import COPYRIGHT, PROFILE, Recipe

_XMP_FIELD = "xmp-data"
#: A packet of XMP with a notice of copyright, and nothing else (ISO 16684-1, 7).
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:rights><rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li>'
    '</rdf:Alt></dc:rights></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
#: What XML cannot say, beside the control characters that are gone already (XML 1.0, 2.2).
_NOT_IN_XML = dict.fromkeys((0xFFFE, 0xFFFF))


class Origin:
    """A source file. Its metadata is read once, when somebody asks for it."""

    def __init__(self, data: bytes, format_: str, recipe: Recipe) -> None:
        self._data, self._format, self._keeps = data, format_, recipe.keeps
        self._profile: bytes | None = None

    @cached_property
    def metadata(self) -> Metadata:
        return read_metadata(self._data, self._format)

    @property
    def kept(self) -> frozenset[str]:
        """What variants keep of the metadata, once the picture is decoded."""
        return frozenset(name for name, is_kept in ((COPYRIGHT, self._packet), (PROFILE, self._profile)) if is_kept)

    def loaded(self, image: pyvips.Image) -> pyvips.Image:
        """The image as the steps of a conversion take it. If variants keep its profile, it goes without: then its
        colours stay as they are."""
        self._profile = profile_to_keep(image) if PROFILE in self._keeps else None
        if self._profile is not None:
            image = image.copy()
            image.remove(PROFILE_FIELD)
        return image

    def labelled(self, image: pyvips.Image) -> tuple[pyvips.Image, int]:
        """The image with what its variants keep, and which of its fields the encoder must keep for that."""
        labels = [(PROFILE_FIELD, self._profile, KEEP_PROFILE), (_XMP_FIELD, self._packet, KEEP_XMP)]
        image, keep = image.copy(), KEEP_NOTHING
        for field, content, flag in labels:
            if content:
                image.set_type(pyvips.GValue.blob_type, field, content)
                keep |= flag
        return image, keep

    @cached_property
    def _packet(self) -> bytes:
        """Empty: variants say nothing of rights."""
        rights = self.metadata.rights.translate(_NOT_IN_XML) if COPYRIGHT in self._keeps else ""
        return _PACKET.format(escape(rights)).encode() if rights else b""
