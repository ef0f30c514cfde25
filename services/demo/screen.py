"""How the demo speaks in a terminal: readable at 80 columns, without colours, and when written to a file."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from services.demo.blocks import Line, lines
from services.demo.claims import Claim, Claims
from services.demo.mailbox import Mail
from services.demo.slack import Post
from shared.clock import Clock

T = TypeVar("T")

WIDEST = 100  # longer lines are hard to read
REDRAW_S = 0.1
TOLD_EVERY_S = 5  # where nothing can be redrawn
MAIL_LINES = 30
_STYLES = {"bold": "bold", "italic": "italic", "strike": "strike", "code": "bold", "link": "underline"}
_LINES = {"header": "bold", "small": "dim"}


class Screen:
    def __init__(self, clock: Clock, claims: Claims, console: Console | None = None) -> None:
        if console is None:
            if hasattr(sys.stdout, "reconfigure"):
                sys.stdout.reconfigure(errors="replace")  # a customer's é must not end the demo in an old terminal
            console = Console(highlight=False)
            console.width = min(console.width, WIDEST)
        self.console, self.claims, self.clock = console, claims, clock
        self.lively = console.is_terminal and not console.is_dumb_terminal
        self._plain = console.options.ascii_only

    def scene(self, number: int, title: str) -> None:
        self.console.print()
        character = "-" if self._plain else "─"
        self.console.print(Rule(Text(f"{number:>2}  {title}", style="bold"), align="left", characters=character))

    def say(self, text: str, style: str = "") -> None:
        """Words, and [bold]marks[/] of ours; nothing from outside may come this way unescaped."""
        self.console.print(Padding(Text.from_markup(text, style=style), (0, 0, 0, 2), expand=False))

    def quote(self, text: str, style: str = "") -> None:
        """Words from outside, as they are."""
        self.console.print(Padding(Text(text, style=style), (0, 0, 0, 2), expand=False))

    def claim(self, held: bool, text: str, otherwise: str) -> bool:
        """State what was measured; plainly, where it is not what was claimed."""
        self._show(self.claims.check(held, text, otherwise))
        return held

    def _show(self, claim: Claim) -> None:
        mark = ("ok" if self._plain else "✓") if claim.held else ("NOT TRUE:" if self._plain else "✗ NOT TRUE:")
        row = Table.grid(padding=(0, 1))
        row.add_row(Text(mark, style="green" if claim.held else "bold red"), Text(claim.text))
        self.console.print(Padding(row, (0, 0, 0, 2), expand=False))

    def wrong(self, text: str) -> None:
        """The demo cannot go on."""
        self.console.print()
        self.quote(f"The demo failed. {text}", "bold red")

    def verdict(self, seconds: float) -> None:
        """Whether all that was claimed held."""
        made, broken = len(self.claims.made), self.claims.broken
        self.console.print()
        if not broken:
            self.say(f"All {made} claims held, each measured, in {seconds:.0f} s.", "bold green")
            return
        self.say(f"{len(broken)} of {made} claims did not hold:", "bold red")
        for claim in broken:
            self._show(claim)

    def code(self, written: Sequence[str]) -> None:
        """Commands to copy: never wrapped."""
        for line in written:
            self.console.print(Text(line, style="dim" if line.startswith("#") else "bold"), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
        """Rows under columns; all but the first ``left`` are numbers."""
        table = Table(box=box.ASCII2 if self._plain else box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for at, name in enumerate(columns):
            table.add_column(name, justify="left" if at < left else "right", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self.console.print(Padding(table, (0, 0, 0, 2), expand=False))

    def bars(self, counts: Sequence[tuple[str, int]], title: str) -> RenderableType:
        """Counts, the largest first, each with a bar as long as its share."""
        most = max((n for _, n in counts), default=1)
        grid = Table.grid(padding=(0, 1))
        grid.add_column()
        grid.add_column(justify="right")
        grid.add_row(Text(title, style="bold"), "", "")
        for name, n in sorted(counts, key=lambda each: (-each[1], each[0])):
            grid.add_row(Text(name), str(n), Text(("#" if self._plain else "█") * max(1, round(14 * n / most)), "cyan"))
        return grid

    def beside(self, *parts: RenderableType) -> None:
        row = Table.grid(padding=(0, 4))
        row.add_row(*parts)
        self.console.print(Padding(row, (1, 0, 1, 2), expand=False))

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Something is under way whose end nobody knows."""
        if not self.lively:
            self.say(what)
            yield
            return
        with self.console.status(what):
            yield

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """A progress bar; gives what to call after each step."""
        if not self.lively:
            yield self._told(what, total)
            return
        columns = (TextColumn("  {task.description}"), BarColumn(24), MofNCompleteColumn())
        with Progress(*columns, console=self.console, transient=False) as progress:
            task = progress.add_task(what, total=total)
            yield lambda: progress.advance(task)

    def _told(self, what: str, total: int) -> Callable[[], None]:
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            if done in (total // 2, total):
                self.say(f"{what}: {done}/{total}")

        return step

    async def until(self, at: datetime, what: str, event: Coroutine[Any, Any, T], patience_s: float) -> T | None:
        """Wait for an event with the time left until ``at`` on the screen; None where it has not come
        ``patience_s`` seconds after."""
        length = max((at - self.clock.now()).total_seconds(), 0.1)
        with self._countdown(what, length) as show:
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(event)
                while (left := (at - self.clock.now()).total_seconds()) > -patience_s:
                    show(max(left, 0.0))
                    await asyncio.wait([waiting], timeout=REDRAW_S)
                    if waiting.done():
                        return waiting.result()
                waiting.cancel()
        return None

    @contextmanager
    def _countdown(self, what: str, length: float) -> Iterator[Callable[[float], None]]:
        if self.lively:
            columns = (TextColumn("  {task.description}"), BarColumn(30), TextColumn("{task.fields[left]}"))
            with Progress(*columns, console=self.console, transient=True, auto_refresh=False) as progress:
                task = progress.add_task(what, total=length, left="")

                def draw(left: float) -> None:
                    progress.update(task, completed=length - left, left=f"{left:4.1f} s left", refresh=True)

                yield draw
            return
        told = -1

        def tell(left: float) -> None:
            nonlocal told
            now = int(-(-left // TOLD_EVERY_S))
            if now != told and left > 0:
                self.say(f"{what}: {left:.0f} s left")
            told = now

        yield tell

    def slack(self, post: Post, note: str = "") -> None:
        """A message of Slack, drawn from the payload that arrived."""
        drawn = [Text.assemble(("Tocsin", "bold"), " APP  ", (f"{post.arrived_at.astimezone():%H:%M}", "dim"))]
        drawn += [self._line(line) for line in lines(post.payload)]
        title = Text(f" {post.channel} ", style="bold")
        subtitle = Text(f" {note} ") if note else None
        frame = Panel(Group(*drawn), title=title, title_align="left", subtitle=subtitle, subtitle_align="right")
        self.console.print(Padding(frame, (1, 0, 1, 2), expand=False))

    def _line(self, line: Line) -> Text:
        if line.kind == "rule":
            return Text("-" * 20, style="dim")
        if line.kind == "buttons":
            found = Text()
            for button in line.buttons:
                found.append(f"[ {button.label} ]", style="bold reverse green" if button.primary else "bold reverse")
                found.append("  ")
            return found
        text = Text.assemble(*((span.text, _STYLES.get(span.style, "")) for span in line.spans))
        text.stylize(_LINES.get(line.kind, ""))
        return self._barred(text) if line.kind == "quote" else text

    def _barred(self, text: Text) -> Text:
        """With a bar before each line that it takes."""
        bar = Text("| " if self._plain else "▎ ", style="dim")
        wrapped = text.wrap(self.console, self.console.width - 10)
        return Text("\n").join(bar + each for each in wrapped)

    def mail(self, mail: Mail) -> None:
        """A mail as its reader sees it: who, about what, and the plain part."""
        head = [Text(f"{name}: {mail.message[name]}", style="dim") for name in ("From", "To", "Subject")]
        body = [_shortened(line, self.console.width - 8) for line in mail.text.splitlines()]
        shown = body[:MAIL_LINES] + (["…"] if len(body) > MAIL_LINES else [])
        frame = Panel(Group(*head, Text(""), Text("\n".join(shown))), title=Text(" mail "), title_align="left")
        self.console.print(Padding(frame, (1, 0, 1, 2), expand=False))


def _shortened(line: str, width: int) -> str:
    """A line with its overlong words, which are addresses, cut."""
    return " ".join(word if len(word) <= width else f"{word[: width - 1]}…" for word in line.split(" "))
