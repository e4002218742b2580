"""Signals that end a program, as the exception that Ctrl-C is: the stack unwinds, and nothing is left half done."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


@contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into KeyboardInterrupt, where Python allows it: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt(signal.Signals(number).name)

    ignored = {number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_IGN}
    before = {number: signal.signal(number, interrupt) for number in {signal.SIGTERM, signal.SIGHUP} - ignored}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


_PRESSED: list[int] = []


@contextmanager
def remember_ctrl_c() -> Iterator[None]:
    """Remember Ctrl-C within: Python drops the exception where it meets a destructor (see `raise_dropped_ctrl_c`).

    What Python writes of an exception that it drops is not written of this one.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        _PRESSED.append(number)
        raise KeyboardInterrupt

    def tell(dropped: "sys.UnraisableHookArgs") -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            before(dropped)

    before = sys.unraisablehook
    _PRESSED.clear()
    sys.unraisablehook = tell
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.unraisablehook = before
        _PRESSED.clear()


def raise_dropped_ctrl_c() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed and this still goes on."""
    if _PRESSED:
        raise KeyboardInterrupt
