"""Where ``tocsin`` begins: the rest takes a second to import, and Ctrl-C in it ends quietly."""

import signal


def main() -> None:
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # else whoever started us has it ignored: left alone
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from services.cli import main as run

    signal.signal(signal.SIGINT, before)
    run()
