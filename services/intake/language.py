"""The language of a text, where nobody gave it. Pure: CLD2 ships its tables; docs/adr/0010-language.md says why it."""

import re

try:
    import pycld2
except ImportError:  # no wheel for this platform: the language stays unknown
    pycld2 = None

PREFIX = 240  # characters looked at: a short text is told as well, and a long one costs no more
_WORDLESS = re.compile(r"\S*(?:://|@)\S*|www\.\S*|[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def detect(subject: str, body: str) -> str | None:
    """ISO 639-1 (with the script for Chinese: ``zh-Hant``); None where unsure, which one in twenty short texts is."""
    if pycld2 is None:
        return None
    words = _WORDLESS.sub(" ", f"{subject[:PREFIX]}\n{body[:PREFIX]}")[:PREFIX]
    try:
        sure, _, found = pycld2.detect(words, isPlainText=True)
    except pycld2.error:  # a character that Unicode has not assigned
        return None
    code = found[0][1]
    return _CODES.get(code, code) if sure and code != "un" and not code.startswith("xx") else None


_CODES = {"iw": "he", "in": "id", "jw": "jv", "mo": "ro"}  # CLD2 has the codes that ISO 639 withdrew
