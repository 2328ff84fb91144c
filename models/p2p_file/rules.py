"""What a file is, told by its first bytes and by nobody's word. Pure."""

from models.errors import InvalidInput
from models.p2p_file.types import FILE_BYTES_MOST, MediaType

_WEBP_HEAD = 12
SUFFIX = {MediaType.JPEG: "jpg", MediaType.PNG: "png", MediaType.WEBP: "webp", MediaType.PDF: "pdf"}


def media_type_of(body: bytes) -> MediaType | None:
    """By the signatures of JPEG (T.81), PNG (RFC 2083), WebP (RFC 9649) and PDF (ISO 32000); None: none of them."""
    if body.startswith(b"\xff\xd8\xff"):
        return MediaType.JPEG
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return MediaType.PNG
    if body[:4] == b"RIFF" and body[8:_WEBP_HEAD] == b"WEBP":
        return MediaType.WEBP
    if body.startswith(b"%PDF-"):
        return MediaType.PDF
    return None


def require(body: bytes, said: str) -> MediaType:
    """The type of a file that may be attached.

    :param said: the request's ``Content-Type``.
    :raises InvalidInput: another kind of file, another than it was said to be, or too large a one.
    """
    found = media_type_of(body)
    if found is None:
        raise InvalidInput(f"attach one of: {', '.join(MediaType)}", field="body")
    if said.partition(";")[0].strip().lower() != found:
        raise InvalidInput(f"the file is {found}; send that as its Content-Type", field="Content-Type")
    if len(body) > FILE_BYTES_MOST:
        raise InvalidInput(f"a file has at most {FILE_BYTES_MOST} bytes", field="body")
    return found
