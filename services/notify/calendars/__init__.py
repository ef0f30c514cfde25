"""iCalendar: calendars that others keep, fetched and read; and our shifts, written for theirs."""
