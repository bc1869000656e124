"""How a command runs and stops: several processes of it; Ctrl-C and SIGTERM, which tidy up and say so."""

import argparse
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from deep_ranking.errors import DeepRankingError

INTERRUPTED, TERMINATED = 130, 143
"""Exit statuses: 128 and the number of the signal, as a shell reports them."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, so that all that tidies up after Ctrl-C does so after this too."""


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` in the block, in the main thread, where nobody else has taken it."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def report_stop(prog: str, stop: KeyboardInterrupt) -> int:
    """Say in a line that a command was stopped and how to go on; return its exit status.

    Who knows what was kept has put how to go on into a note of the exception (`add_note`).
    """
    by_signal = isinstance(stop, Terminated)
    how = getattr(stop, "__notes__", None) or ["the same command begins anew"]
    print(f"\n{prog}: {'terminated' if by_signal else 'interrupted'}; {how[0]}", file=sys.stderr)
    return TERMINATED if by_signal else INTERRUPTED


def leave(status: int) -> NoReturn:
    """End the process at once, without waiting for threads whose results nobody wants any more."""
    others = {thread for thread in threading.enumerate() if not thread.daemon} - {threading.main_thread()}
    if others:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def run_processes(work: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> None:
    """Do the work in `args.processes` processes, each told its number and where the first one listens.

    Args:
        work: called in each process with the arguments, `coordinator` and `process` filled in.
        args: of the command.

    Raises:
        DeepRankingError: a process failed, and has said why; the others are ended.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{probe.getsockname()[1]}"
    start = multiprocessing.get_context("spawn").Process
    running = []
    for number in range(args.processes):
        own = argparse.Namespace(**{**vars(args), "coordinator": coordinator, "process": number})
        running.append(start(target=_run, args=(work, own)))
        running[-1].start()
    try:
        waiting = {process.sentinel: process for process in running}
        while waiting:
            for sentinel in multiprocessing.connection.wait(list(waiting)):
                ended = waiting.pop(sentinel)  # type: ignore[arg-type]
                ended.join()  # its sentinel may come a moment before its exit code
                if ended.exitcode:
                    raise DeepRankingError("a process failed; --resume goes on from the last checkpoint")
    except KeyboardInterrupt as stop:
        stop.add_note("the same command with --resume goes on from the last checkpoint, if there is one")
        raise
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join()


def keep_results_apart() -> None:
    """Leave standard output to `print`: Gloo's own lines, which go there too, come on standard error."""
    sys.stdout = os.fdopen(os.dup(1), "w", errors="surrogateescape")
    os.dup2(2, 1)


def _run(work: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(
        format=f"process {args.process}: %(levelname)s: %(message)s",
        level=logging.ERROR if args.process else logging.WARNING,
    )
    try:
        work(args)
    except KeyboardInterrupt:
        sys.exit(130)
    except (DeepRankingError, OSError) as error:
        sys.exit(f"process {args.process}: error: {error}")


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this one was started by it
    parent.join()
    os._exit(1)
