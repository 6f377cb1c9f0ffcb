"""The engine and the images that the marked tests run on: real ones, started and built where they are missing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from toolkit import doctor
from toolkit.engine.docker import Docker, EngineError
from toolkit.images import build, variants


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process waits at the end for another's containers."""
    items.sort(key=lambda item: not item.get_closest_marker("image"))


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests' runs apart from the user's; the cache is shared, since filling it takes minutes."""
    before = os.environ.get("XDG_DATA_HOME")
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))
    yield
    os.environ.pop("XDG_DATA_HOME")
    if before is not None:
        os.environ["XDG_DATA_HOME"] = before


@pytest.fixture(scope="session")
def engine() -> Iterator[Docker]:
    """Give the Docker engine; skip, or fail where KIT_REQUIRE_ENGINE=1, with the reason."""
    try:
        connection = Docker()
    except EngineError as error:
        if os.environ.get("KIT_REQUIRE_ENGINE") == "1":
            pytest.fail(f"KIT_REQUIRE_ENGINE=1 and no engine: {error}")
        pytest.skip(f"no container engine: {error}")
    with connection:
        yield connection


def _built(engine: Docker, name: str, extra: str | None = None) -> variants.Variant:
    variant = variants.variant(name, extra=extra)
    if not build.current(engine, variant):
        record = build.build(engine, variant, doctor.this_machine(), lambda _: None)
        assert record.tag == variant.tag, record
    return variant


@pytest.fixture(scope="session")
def cpu_image(engine: Docker) -> variants.Variant:
    return _built(engine, "cpu")


@pytest.fixture(scope="session")
def gpu_image(engine: Docker) -> variants.Variant:
    return _built(engine, "gpu")


@pytest.fixture(scope="session")
def notebook_image(engine: Docker) -> variants.Variant:
    return _built(engine, "cpu", "notebook")


@pytest.fixture(scope="session")
def jax_image(engine: Docker) -> variants.Variant:
    return _built(engine, "cpu", "jax")
