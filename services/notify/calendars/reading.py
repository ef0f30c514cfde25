"""The events of an iCalendar file, repetitions counted out, in a process of its own that may be killed.

A file comes from anywhere, and a few lines of it can ask for years of counting: so the process has little time, little
memory and nothing else. Run as a module, it reads a request as JSON from its input and writes its answer.
"""

import asyncio
import json
import sys
from datetime import datetime

import icalendar

from services.notify.calendars import repetitions
from services.notify.calendars.repetitions import Unreadable
from services.notify.model.rota import CalendarEvent

PROCESSOR_S = 10
LONGEST_S = 30.0  # where the machine has much else to do
MEMORY = 1 << 30  # bytes of address space

_ME = "services.notify.calendars.reading"


async def read(text: str, since: datetime, until: datetime) -> list[CalendarEvent]:
    """The events that overlap [since, until), in order. Raises ``Unreadable``."""
    request = json.dumps({"text": text, "since": since.isoformat(), "until": until.isoformat()}).encode()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", _ME, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(LONGEST_S):
            answer, _ = await child.communicate(request)
    except TimeoutError:
        raise Unreadable(f"the calendar takes more than {LONGEST_S:.0f} s to read: give its events an end") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0 or not answer:
        raise Unreadable("the calendar takes too much time or memory to read: make it smaller")
    found = json.loads(answer)
    if "error" in found:
        raise Unreadable(found["error"])
    return [
        CalendarEvent(datetime.fromisoformat(start), datetime.fromisoformat(end), summary, tuple(attendees))
        for start, end, summary, attendees in found["events"]
    ]


def events(text: str, since: datetime, until: datetime) -> list[CalendarEvent]:
    """As ``read``, here and now."""
    try:
        calendar = icalendar.Calendar.from_ical(text)
        if not isinstance(calendar, icalendar.Calendar):
            raise Unreadable("the file is not an iCalendar file: it must begin with BEGIN:VCALENDAR")
        return repetitions.counted(calendar, since, until)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as wrong:
        said = (str(wrong).strip().splitlines() or [""])[0]
        raise Unreadable(f"the file cannot be read as iCalendar: {said or type(wrong).__name__}"[:300]) from None


def main() -> None:
    if sys.platform == "linux":
        import resource  # elsewhere there is none, or it does less

        resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    asked = json.load(sys.stdin)
    try:
        found = events(asked["text"], datetime.fromisoformat(asked["since"]), datetime.fromisoformat(asked["until"]))
    except Unreadable as wrong:
        json.dump({"error": str(wrong)}, sys.stdout)
        return
    json.dump({"events": [[e.start.isoformat(), e.end.isoformat(), e.summary, e.attendees] for e in found]}, sys.stdout)


if __name__ == "__main__":
    main()
