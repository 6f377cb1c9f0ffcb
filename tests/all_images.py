"""Builds and verifies every row of image.toml, and says how each went. `make images`."""

import sys

from rich.console import Console

from toolkit import doctor
from toolkit.engine.docker import Docker
from toolkit.images.build import build
from toolkit.images.variants import variants
from toolkit.show import images as view


def main() -> int:
    facts, console, failed = doctor.this_machine(), Console(), 0
    with Docker() as engine:
        for each in variants():
            record = build(engine, each, facts, lambda _: None)
            console.print(view.built(record))
            failed += record.tag is None
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
