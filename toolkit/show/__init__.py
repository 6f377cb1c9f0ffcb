"""The only printers: terminal (Rich) and JSON."""
