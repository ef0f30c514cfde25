"""A subject without the "Re:", "AW:", "WG:" that mail programs put before it, in many languages. Pure."""

import re
from typing import NamedTuple

from services.intake.channels.phrases import AUTOMATIC, FORWARDS, REPLIES

PREFIXES_LIMIT = 20
_PREFIX = re.compile(r"\s*([^\s:：\[\]()0-9][^:：\[\]()\d]{0,24}?)\s?[\[(^]?\d{0,3}[\])]?\s?[:：]")
_LIST = re.compile(r"\s*(\[[^\[\]]{1,60}\])\s*")
_LETTERS = frozenset("RI")  # Italian, and a word of its own in small


class Subject(NamedTuple):
    text: str
    prefixes: tuple[str, ...]  # as they stood, outermost first, without numbers and colons

    @property
    def is_reply(self) -> bool:
        return any(_kind(each) is REPLIES for each in self.prefixes)

    @property
    def is_forward(self) -> bool:
        """The outermost of them counts: a reply to a forward is a reply."""
        return bool(self.prefixes) and _kind(self.prefixes[0]) is FORWARDS


def read(text: str) -> Subject:
    """``[List] Re: AW[2]: Rechnung`` → ``[List] Rechnung``, (``Re``, ``AW``)."""
    kept = ""
    found: list[str] = []
    while len(found) < PREFIXES_LIMIT:
        if (prefix := _PREFIX.match(text)) and _kind(prefix[1]):
            found.append(prefix[1])
            text = text[prefix.end() :]
        elif not kept and (tag := _LIST.match(text)) and (after := _PREFIX.match(text, tag.end())) and _kind(after[1]):
            kept, text = tag[1] + " ", text[tag.end() :]
        else:
            break
    rest = text.strip()
    if kept and rest.startswith(kept.strip()):  # Re: [List] Re: [List] x
        kept = ""
    return Subject(f"{kept}{rest}".strip(), tuple(found))


def automatic(text: str) -> str | None:
    """The words by which a subject says that a machine answers; None where it does not."""
    words = text.strip().casefold()
    for phrase in AUTOMATIC:
        if words.startswith(phrase) and not words[len(phrase) : len(phrase) + 1].isalnum():
            rest = words[len(phrase) :].lstrip()
            if not rest or rest[0] in ":：-–—!([|/":
                return phrase
    return None


def _kind(word: str) -> frozenset[str] | None:
    if len(word) == 1 and word.isascii() and word not in _LETTERS:
        return None
    folded = word.casefold()
    return REPLIES if folded in REPLIES else FORWARDS if folded in FORWARDS else None
