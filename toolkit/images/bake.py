"""The rows of image.toml for `docker buildx bake`, which knows nothing of kit: python -m toolkit.images.bake writes them.

images/<name>/docker-bake.hcl builds them; a test holds them to the plans of kit's own builds.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolkit.images.plan import Sources, plan
from toolkit.images.variants import Variant, extras_of, variants, with_extra

ABOUT = "Written by python -m toolkit.images.bake from image.toml, the locks and the recipe; docker-bake.hcl reads it."
OF_THE_BUILD = ("org.opencontainers.image.revision", "org.opencontainers.image.base.digest")  # labels, not known before


def targets() -> Iterator[Variant]:
    """Give every variant of the image, each row with its extras after it."""
    for row in variants():
        yield row
        for extra in extras_of(row):
            yield with_extra(row, extra)


def target(each: Variant) -> dict[str, Any]:
    """Return a variant as bake builds it: what does not depend on the machine that builds."""
    nothing = Path()
    version = importlib.metadata.version("kit")
    order = plan(each, Sources(nothing, nothing, nothing, each.base, "", kit_version=version))
    return {
        "name": f"{each.minor.replace('.', '-')}-{each.name}",
        "tensorflow": each.tensorflow,
        "flavour": each.flavour,
        "tag": each.tag.partition(":")[2],
        "stage": order.target,
        "arguments": order.arguments,
        "labels": {name: value for name, value in order.labels.items() if name not in OF_THE_BUILD},
    }


def text() -> str:
    """Return docker-bake.json, a target a line. Source: https://docs.docker.com/build/bake/reference/"""
    lines = ",\n".join(f"   {json.dumps(target(each))}" for each in targets())
    return f'{{\n "//": {json.dumps(ABOUT)},\n "variable": {{"rows": {{"default": [\n{lines}\n ]}}}}\n}}\n'


def file() -> Path:
    return variants()[0].folder / "docker-bake.json"


def write() -> None:
    """Write docker-bake.json as the rows, the locks and the recipe are now."""
    file().write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    write()
