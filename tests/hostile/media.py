"""How bodies that are no JSON are written, for Schemathesis: lines, and raw mail."""

from typing import Any

import schemathesis


def as_it_is(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


for media_type in ("application/x-ndjson", "message/rfc822"):
    schemathesis.serializer(media_type)(as_it_is)
