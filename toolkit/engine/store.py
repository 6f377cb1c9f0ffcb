"""What the engine keeps: its images, the containers of them, its build cache, and images as streams in and out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from toolkit.engine.docker import API_SECONDS, Docker
from toolkit.model import KitError

SILENT_SECONDS = 1800  # the engine says nothing while it packs or unpacks the layers of an image


class RefusedError(KitError):
    """The engine refused; the text is its own."""


def images(engine: Docker, label: str | None = None) -> list[dict[str, Any]]:
    """Return the images of the engine, those with a label where one is named, each with SharedSize in bytes."""
    asked = {"shared-size": "1", **({"filters": json.dumps({"label": [label]})} if label else {})}
    rows: list[dict[str, Any]] = _asked(engine, "GET", "/images/json", asked).json()
    return rows


def containers(engine: Docker) -> list[dict[str, Any]]:
    """Return the containers of the engine, the stopped ones too: ImageID, Names, State."""
    rows: list[dict[str, Any]] = _asked(engine, "GET", "/containers/json", {"all": "1"}).json()
    return rows


def used_bytes(engine: Docker) -> int:
    """Return what images and build cache take on the disk; what both hold counts once."""
    kept = _asked(engine, "GET", "/system/df", {"type": ["image", "build-cache"]}).json()
    cache = (int(row["Size"]) for row in kept.get("BuildCache") or () if not row["Shared"])
    return int(kept["LayersSize"]) + sum(cache)


def remove(engine: Docker, reference: str, *, force: bool = False) -> None:
    """Remove a name of an image, and the image with its last one. RefusedError where something needs it."""
    _asked(engine, "DELETE", f"/images/{reference}", {"force": "1" if force else "0"})


def prune_cache(engine: Docker, unused_days: int) -> None:
    """Remove the build cache that nobody used for so many days. It does not say which build an entry is of."""
    filters = json.dumps({"until": [f"{unused_days * 24}h"]})
    _asked(engine, "POST", "/build/prune", {"filters": filters, "all": "1"}, seconds=SILENT_SECONDS)


@contextmanager
def saving(engine: Docker, image_id: str) -> Iterator[IO[bytes]]:
    """Give an image as the engine's own tar, without its names, to be read from the start to the end."""
    with (
        _talking(),
        _asked(engine, "GET", f"/images/{image_id}/get", {}, seconds=SILENT_SECONDS, stream=True) as answer,
    ):
        yield answer.raw


def load(engine: Docker, tar: Iterator[bytes]) -> str:
    """Have the engine load an image from such a tar, and return its id, or its name where the tar has one.

    Sample of the engine's answer, a line: {"stream":"Loaded image ID: sha256:64ea20e89129f0…\\n"}.
    """
    answer = _asked(engine, "POST", "/images/load", {"quiet": "1"}, seconds=SILENT_SECONDS, data=tar)
    said = [json.loads(line) for line in answer.text.splitlines() if line.strip()]
    if failed := next((line["error"] for line in said if "error" in line), None):
        raise RefusedError(f"the engine cannot load the image: {failed}")
    loaded = [line["stream"].partition(": ")[2].strip() for line in said if "Loaded image" in line.get("stream", "")]
    if len(loaded) != 1:
        raise RefusedError(f"the engine loaded {len(loaded)} images: {answer.text.strip()}")
    return str(loaded[0])


def _asked(
    engine: Docker, method: str, path: str, parameters: dict[str, Any], *, seconds: float = API_SECONDS, **more: Any
) -> Any:
    """Return the engine's answer; RefusedError with its reason where it has none."""
    api = engine.api
    with _talking():
        answer = api.request(
            method, f"{api.base_url}/v{api.api_version}{path}", params=parameters, timeout=seconds, **more
        )
    if not answer.ok:
        try:
            reason = answer.json()["message"]
        except (ValueError, KeyError):
            reason = answer.text
        raise RefusedError(reason.strip())
    return answer


@contextmanager
def _talking() -> Iterator[None]:
    """Turn what breaks a conversation with the engine into KitError."""
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (RequestException, HTTPError) as error:
        raise KitError(f"the engine stopped answering: {error}") from error
