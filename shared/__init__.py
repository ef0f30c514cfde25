"""The platform: what every service stands on. No business rule lives here."""

import os
import zoneinfo
from importlib.resources import files

# Replicas agree on time zones only when all of them read the pinned `tzdata` package, never the machine's files:
# Python by the first line, and CEL, which knows no zone at all on a machine without such files, by the second.
zoneinfo.reset_tzpath([])
os.environ["TZDIR"] = str(files("tzdata") / "zoneinfo")
