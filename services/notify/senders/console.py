"""The console: the message drawn in the terminal, plain, in 80 columns."""

import asyncio
import textwrap
from collections.abc import Callable

from services.notify.message import Message
from services.notify.model.commands import Outcome
from services.notify.senders import Parcel

WIDTH = 80
_LABEL = 13


class ConsoleSender:
    """``write`` takes whole lines; it runs in a thread, since a stopped terminal must not stop us."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    async def send(self, parcel: Parcel) -> Outcome:
        try:
            await asyncio.to_thread(self._write, draw(parcel.message, parcel.act_url))
        except (OSError, ValueError) as error:  # the terminal is gone, or cannot show the letters
            return Outcome("later", f"the console does not take it: {type(error).__name__}")
        return Outcome("sent", "drawn on the console")

    async def close(self) -> None:
        return None


def draw(message: Message, act_url: str | None) -> str:
    lines = [
        "",
        "=" * WIDTH,
        *textwrap.wrap(message.headline, WIDTH),
        *textwrap.wrap(" · ".join(message.context), WIDTH),
    ]
    if message.body is not None:
        for line in message.body.splitlines():
            lines += textwrap.wrap(line, WIDTH) or [""]
    elif message.quote:
        lines += ["", *textwrap.wrap(message.quote, WIDTH, initial_indent="  | ", subsequent_indent="  | ")]
    lines.append("")
    for label, text in message.fields if message.body is None else ():
        indent = " " * _LABEL
        lines += textwrap.wrap(text, WIDTH, initial_indent=label.ljust(_LABEL), subsequent_indent=indent)
    links = {"Acknowledge": act_url, "Open": message.case_url}
    lines += [f"{label.ljust(_LABEL)}{url}" for label, url in links.items() if url]
    return "\n".join([*lines, "=" * WIDTH, ""])
