"""The platform: what every service stands on. No business rule lives here."""

import zoneinfo

# Replicas agree on time zones only when all of them read the pinned `tzdata` package, never the machine's files.
zoneinfo.reset_tzpath([])
