"""What came with a mail: named, measured, and its type read from its content. The content itself is not kept. Pure."""

from hashlib import sha256

import filetype

from services.intake.channels import words
from services.intake.channels.bodies import file_name
from services.intake.channels.mime import Part
from services.intake.model import Attachment

ATTACHMENTS_LIMIT = 100
_TNEF = ("application/ms-tnef", "application/vnd.ms-tnef")
_SEALED = "Outlook's own format (TNEF): the files in it are not listed. Ask the sender to write HTML or plain text"
LOOKED_AT = 8_192  # bytes from which a type is told
_PROGRAMS = frozenset(("application/x-msdownload", "application/x-executable", "application/x-mach-binary"))
_PROGRAM_NAMES = (".exe", ".dll", ".com", ".scr", ".msi", ".sys", ".bin", ".so", ".elf", ".out", ".cpl", ".ocx")


def attachments(mail: Part, used: set[int], remarks: list[str]) -> tuple[Attachment, ...]:
    """Every part that is no text of the mail itself, in order."""
    found: list[Attachment] = []
    waiting = [mail]
    while waiting and len(found) < ATTACHMENTS_LIMIT:
        part = waiting.pop(0)
        if part.kind.startswith("multipart/"):
            waiting[:0] = part.children
        elif id(part) not in used and (each := _attachment(part)) is not None:
            found.append(each)
    if waiting:
        remarks.append(f"only the first {ATTACHMENTS_LIMIT} attachments are listed")
    return tuple(found)


def disguised(attachment: Attachment) -> bool:
    """A program that goes by the name and type of a document."""
    if attachment.detected not in _PROGRAMS:
        return False
    name = (attachment.name or "").lower()
    telling = ("octet-stream", "msdownload", "executable", "x-ms", "program", "dosexec", "mach-binary", "sharedlib")
    return bool(name) and not name.endswith(_PROGRAM_NAMES) and not any(each in attachment.type for each in telling)


def _is_tnef(part: Part, name: str | None) -> bool:
    return part.kind in _TNEF or (name or "").lower() == "winmail.dat"


def _attachment(part: Part) -> Attachment | None:
    name = file_name(part)
    if name is None and part.children:  # a mail within a mail goes by its subject
        name = words.header(part.children[0].headers.first("subject"), 250) or None
    disposition = part.headers.first("content-disposition").partition(b";")[0].strip().lower()
    inline = disposition == b"inline" or (not disposition and "content-id" in part.headers)
    kind = part.kind[:120]
    problem = part.problem() or (_SEALED if _is_tnef(part, name) else None)
    if problem is not None:
        body = part.body()
        digest = sha256(body).hexdigest()
        return Attachment(name=name, type=kind, size=len(body), inline=inline, sha256=digest, problem=problem)
    content = part.content()
    if not content and not name:
        return None
    detected = filetype.guess_mime(content[:LOOKED_AT]) if content else None
    return Attachment(name=name, type=kind, size=len(content), inline=inline, detected=detected)
