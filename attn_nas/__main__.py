"""The command ``attn-nas``, also ``python -m attn_nas``: from its first import on, a signal ends it in order."""

import os
import signal
from types import FrameType

_INTERRUPTED = 130


def main() -> None:
    """Entry point: see `attn_nas.cli.main`; Ctrl-C, SIGTERM and the end of its terminal are interrupts, with exit code 130."""
    came: list[int] = []
    terminal = [stream for stream in range(3) if os.isatty(stream)]

    def interrupt(number: int, frame: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    def hang_up(number: int, frame: FrameType | None) -> None:
        """Write to nobody from now on, and end as by SIGTERM, whoever answers that."""
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in terminal:
            os.dup2(nowhere, stream)
        os.close(nowhere)
        signal.raise_signal(signal.SIGTERM)

    answers = {signal.SIGINT: interrupt, signal.SIGTERM: interrupt, signal.SIGHUP: hang_up}
    answers = {number: answer for number, answer in answers.items() if signal.getsignal(number) != signal.SIG_IGN}
    try:
        for number, answer in answers.items():
            signal.signal(number, answer)
        from attn_nas.cli import main as command_line

        command_line()
    except BaseException:
        if came:
            raise SystemExit(_INTERRUPTED) from None
        raise
    finally:
        for number in answers:
            signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    main()
