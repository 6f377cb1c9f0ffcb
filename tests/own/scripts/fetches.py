"""Wants the network."""

import urllib.request

urllib.request.urlopen("https://example.com", timeout=5)
