"""Prints what a script sees of its start and of its end, which must be what `python like_python.py` shows."""

import atexit
import json
import multiprocessing
import os
import pickle
import sys
import threading
import time
from pathlib import Path

import beside


def double(number: int) -> int:
    return 2 * number


def after_the_last_line() -> None:
    time.sleep(0.2)
    print("a thread pickles what the script has", pickle.loads(pickle.dumps(double))(4), flush=True)


if __name__ == "__main__":
    names = {"name": __name__, "file": Path(__file__).name, "argv": [Path(sys.argv[0]).name, *sys.argv[1:]]}
    names |= {"path": Path(sys.path[0]).name == Path.cwd().name, "beside": beside.NAME, "spec": __spec__}
    names |= {"globals": sorted(name for name in globals() if not name.startswith("__"))}
    names |= {"kit": sorted({"runtime", "toolkit", "subprocess", "tensorflow"} & sys.modules.keys() - {"subprocess"})}
    print(json.dumps(names))
    print("spawned", multiprocessing.get_context("spawn").Pool(1).map(double, [1, 2]))
    atexit.register(print, "at exit")
    threading.Thread(target=after_the_last_line).start()
    sys.stdout.flush()
    if os.fork() == 0:
        sys.exit(0)
    os.wait()
    print("no newline at the end", end="")
