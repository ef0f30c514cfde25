"""How the page behind a mail's link looks: one narrow column, light and dark, nothing loaded from elsewhere. Pure."""

from html import escape

from services.notify.message import Message, Row
from services.notify.senders.blocks import SNOOZES

_STYLE = (
    ":root{color-scheme:light dark;--ink:#1b1f23;--soft:#57606a;--line:#d8dee4;--card:#fff;--ground:#f6f7f8;"
    "--go:#b3261e}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9198a1;--line:#3d444d;--card:#161b22;"
    "--ground:#0d1117;--go:#c93a31}}"
    "*{box-sizing:border-box}body{margin:0;padding:16px;font:17px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif;"
    "background:var(--ground);color:var(--ink)}"
    "main{max-width:32rem;margin:4vh auto 0;padding:24px 20px;background:var(--card);border:1px solid var(--line);"
    "border-radius:12px}"
    "h1{margin:0 0 4px;font-size:1.4rem;line-height:1.25}p{margin:0 0 16px}.soft{color:var(--soft);font-size:.95rem}"
    "dl{margin:0 0 20px;padding:0}dt{color:var(--soft);font-size:.85rem}dd{margin:0 0 8px}"
    "button,select,.open{min-height:48px;padding:10px 16px;border-radius:8px;font:600 1rem/26px system-ui,sans-serif}"
    "button{border:1px solid var(--line);background:transparent;color:inherit;cursor:pointer}"
    "button.go{width:100%;border:0;background:var(--go);color:#fff;font-size:1.1rem}"
    "select{flex:1;min-width:0;border:1px solid var(--line);background:var(--card);color:inherit;font-weight:400}"
    "form.row{display:flex;gap:8px;margin-top:12px}form.row button{min-width:7.5rem}"
    ".open{display:block;margin-top:12px;border:1px solid var(--line);text-align:center;"
    "text-decoration:none;color:inherit}"
    "main>form{margin:16px 0}dt a{color:inherit}"
    ".said{padding:10px 12px;border-radius:8px;border:1px solid var(--line)}"
    ":focus-visible{outline:3px solid #1f6feb;outline-offset:2px}"
)


def draw(number: str, message: Message | None, said: str) -> str:
    """``said``: why the last press changed nothing."""
    note = f'<p class="said" role="status">{escape(said)}</p>' if said else ""
    if message is None:
        return _whole(number, f"{note}<p>This is over: a later page took its place, or nothing is left to do.</p>")
    team = f" · {' · '.join(message.context[2:])}" if len(message.context) > 2 else ""
    shown = "".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in message.fields)
    free = '<p class="soft">Nobody has taken it yet.</p>' if message.can_acknowledge else ""
    return _whole(
        number,
        f'<p class="soft">{escape(number)}{escape(team)}</p>{note}<dl>{shown}</dl>{free}{_buttons(message)}',
        message.headline,
    )


def digest(message: Message | None, said: str) -> str:
    """Every case by name, and one button for those that nobody has taken."""
    note = f'<p class="said" role="status">{escape(said)}</p>' if said else ""
    if message is None:
        return _whole("Digest", f"{note}<p>This is over: later pages took the place of all that it named.</p>")
    free = sum(row.can_acknowledge for row in message.rows)
    label = f"Acknowledge all {free}" if free > 1 else "Acknowledge"
    button = f'<form method="post"><button class="go" name="act" value="acknowledge">{label}</button></form>'
    listed = "".join(_case(row) for row in message.rows)
    return _whole(message.headline, f"{note}{button if free else ''}<dl>{listed}</dl>")


def _case(row: Row) -> str:
    number = escape(row.number)
    name = f'<a href="{escape(row.url)}" rel="noreferrer">{number}</a>' if row.url else number
    return f"<dt>{name}</dt><dd>{f'<s>{escape(row.text)}</s>' if row.over else escape(row.text)}</dd>"


def plain(title: str, text: str) -> str:
    return _whole(title, f"<p>{escape(text)}</p>")


def _buttons(message: Message) -> str:
    found = ""
    if message.can_acknowledge:
        found += '<form method="post"><button class="go" name="act" value="acknowledge">Acknowledge</button></form>'
    if message.case_url:
        found += f'<a class="open" href="{escape(message.case_url)}" rel="noreferrer">Answer the customer</a>'
    if message.live:
        found += _row("snooze", "for", "Snooze for how long", list(SNOOZES.items()), "Snooze")
    if message.live and message.teams:
        teams = [(team, team) for team in message.teams]
        found += _row("hand_over", "team", "To which team", teams, "Hand over")
    return found


def _row(act: str, name: str, label: str, options: list[tuple[str, str]], button: str) -> str:
    listed = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options)
    return (
        f'<form class="row" method="post"><select name="{name}" aria-label="{label}">{listed}</select>'
        f'<button name="act" value="{act}">{button}</button></form>'
    )


def _whole(title: str, body: str, heading: str | None = None) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)}</title><style>{_STYLE}'
        f"</style></head><body><main><h1>{escape(heading or title)}</h1>{body}</main></body></html>"
    )
