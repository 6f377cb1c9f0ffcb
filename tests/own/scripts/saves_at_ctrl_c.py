"""Runs until Ctrl-C and then saves what it has."""

import os
import time
from pathlib import Path

try:
    print("epoch 1", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    Path(os.environ["KIT_OUT"], "saved.txt").write_text("what it has")
    raise
