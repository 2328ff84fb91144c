"""Plain text as a PDF: Woovi takes a defence as a file, and of texts only this kind (``docs/arquivos``).

The same text is the same bytes. PDF 1.4 (ISO 32000-1): one font that every reader has, nothing else.
"""

import textwrap

COLUMNS, LINES = 90, 60
SIZE, LEADING = 9, 12
LEFT, TOP = 50, 790
PAGE = (
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F 3 0 R >> >> /Contents {} 0 R >>"
)


def text_as_pdf(text: str) -> bytes:
    """What the font has no sign for becomes a question mark."""
    lines = [line for given in text.splitlines() for line in textwrap.wrap(given, COLUMNS) or [""]]
    pages = [lines[first : first + LINES] for first in range(0, len(lines), LINES)] or [[]]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier /Encoding /WinAnsiEncoding >>",
    ]
    for number, page in enumerate(pages):
        objects += [PAGE.format(5 + 2 * number).encode(), _stream(page)]
    return _file(objects)


def _stream(lines: list[str]) -> bytes:
    shown = b"".join(b"(" + _escaped(line) + b") '\n" for line in lines)
    content = f"BT /F {SIZE} Tf {LEADING} TL {LEFT} {TOP} Td\n".encode() + shown + b"ET"
    return f"<< /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream"


def _escaped(line: str) -> bytes:
    raw = line.encode("cp1252", errors="replace")
    return raw.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _file(objects: list[bytes]) -> bytes:
    written = b"%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(written))
        written += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = b"0000000000 65535 f \n" + b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(written)}\n%%EOF\n".encode()
    return written + f"xref\n0 {size}\n".encode() + table + trailer
