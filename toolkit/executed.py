"""A run's process, executed for a run folder: how it ended, whatever happens to it."""

from __future__ import annotations

from collections.abc import Callable

from toolkit import explain, records
from toolkit.engine.docker import RefusedError
from toolkit.engine.plan import Exit, OnLine
from toolkit.explain.lines import lines

NOT_STARTED = 125  # the exit code that Docker's own client has for a container that it cannot start
# How Docker's init tells that a signal ended its child: 128 and the signal's number.
SIGNALS = {
    132: "an illegal instruction (SIGILL)",
    134: "an abort (SIGABRT)",
    137: "a kill (SIGKILL)",
    139: "a segmentation fault (SIGSEGV)",
}


def executed(process: Callable[[OnLine], Exit], folder: records.RunFolder, on_line: OnLine) -> Exit | None:
    """Return how a process ended, None where Ctrl-C ended it; where the engine refuses it, its reason is a line too.

    Where kit gives up, the folder is closed with the reason, which is raised again.
    """
    try:
        return process(on_line)
    except (KeyboardInterrupt, BrokenPipeError, SystemExit):  # nobody reads what it says: Rich ends kit then
        return None
    except BaseException as error:
        for line in str(error).splitlines():
            on_line("stderr", line)
        if isinstance(error, RefusedError) and explain.shown(lines(str(error).splitlines())):
            return Exit(NOT_STARTED, out_of_memory=False)
        folder.close({"schema": "kit.run/1", "run_id": folder.run_id, "status": "failed", "error": str(error)})
        raise
