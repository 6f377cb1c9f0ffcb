"""Ends with an exit code of its own, after it handled a failure and said so."""

import sys
import traceback

import beside

try:
    beside.fail(1)
except ValueError:
    traceback.print_exc()
sys.exit(7)
