"""Fails in a function of a module beside it, while it handles another failure."""

import json

import beside

try:
    json.loads("{")
except ValueError:
    beside.fail(3)
