"""kit image: which images are there, what uses them, what goes when, and the way from one engine into another."""

from __future__ import annotations

import io
import json
import os
import secrets
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from toolkit import paths, records
from toolkit.engine import store as engine_store
from toolkit.engine.docker import Docker
from toolkit.images import archive, store, transfer
from toolkit.images.plan import inputs_digest
from toolkit.images.variants import on_base, variant
from toolkit.model import BuildRecord, KitError, StoredImage, UsageError

REPOSITORY = "kit/store-test"


# --- what an image is to kit -----------------------------------------------------------------------------------------


def labels(tag_of: str = "kit/tensorflow", **more: str) -> dict[str, str]:
    return {"org.kit.image": tag_of, **{f"org.kit.{name}": value for name, value in more.items()}}


def test_an_image_is_current_while_its_inputs_are() -> None:
    each = variant("gpu", extra="notebook")
    assert store.status((each.tag,), labels(inputs=inputs_digest(each))) == "current"
    assert store.status((each.tag,), labels(inputs="0" * 16)) == "outdated"


def test_an_image_on_another_base_is_known_by_its_label() -> None:
    each = on_base(replace(variant("cpu"), full=True), "ubuntu:24.04")
    base = {"org.opencontainers.image.base.name": "ubuntu:24.04"}
    assert store.status((each.tag,), labels(inputs=inputs_digest(each)) | base) == "current"
    assert store.status((each.tag,), labels(inputs=inputs_digest(variant("cpu"))) | base) == "outdated"


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ((), "untagged"),
        (("org.kit/building:999999999",), "unfinished"),
        ((f"org.kit/building:{os.getpid()}",), "building"),
        (("lab/model:1",), "derived"),
        (("kit/tensorflow:1.15.0-gpu",), "unlisted"),
    ],
)
def test_an_image_by_its_names(tags: tuple[str, ...], status: str) -> None:
    assert store.status(tags, labels(inputs="0" * 16)) == status


def test_an_image_without_kits_label_is_foreign() -> None:
    assert store.status(("kit/tensorflow:2.21.0-gpu",), {}) == "foreign"


# --- images in an engine ---------------------------------------------------------------------------------------------


@pytest.fixture
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the records of these images, and the runs, apart."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


Make = Callable[..., str]


@pytest.fixture
def make(engine: Docker, own_state: Path) -> Iterator[Make]:
    """Give a function that makes an image of kit's with a file or two of its own, and returns its id."""
    made: list[str] = []

    def image(*tags: str, content: bytes | None = None, label: str = f"org.kit.image={REPOSITORY}") -> str:
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as file:
            member = tarfile.TarInfo("program")
            data = secrets.token_bytes(1 << 20) if content is None else content
            member.size, member.mode = len(data), 0o755
            file.addfile(member, io.BytesIO(data))
        changes = ['CMD ["/program"]', f"LABEL {label}", "LABEL org.kit.version.tensorflow=2.21.0"]
        answer = json.loads(engine.api.import_image_from_data(tar.getvalue(), changes=changes).splitlines()[-1])
        made.append(answer["status"])
        for tag in tags:
            engine.tag(made[-1], tag)
        return made[-1]

    yield image
    for container in engine_store.containers(engine):
        if container["ImageID"] in made:
            engine.api.remove_container(container["Id"], force=True)
    for image_id in made:
        if engine.image(image_id):
            engine_store.remove(engine, image_id, force=True)


def prove(image_id: str, tag: str) -> None:
    verified = {"status": "passed", "gpus": {"tensorflow": 2}, "simulated": True}
    record = BuildRecord(REPOSITORY, tag, image_id, "cpu", {"tensorflow": "2.21.0"}, 1, 1.0, False, verified)
    records.write_json(records.image_record(image_id), asdict(record))
    records.write_json(records.image_record(image_id).with_suffix(".cdx.json"), {"bomFormat": "CycloneDX"})


def remember_run(run_id: str, image: str, image_id: str | None = None) -> None:
    result = {"run_id": run_id, "image": image, "image_id": image_id, "status": "succeeded"}
    records.write_json(paths.runs() / run_id / "result.json", result)


def yes(_: StoredImage) -> bool:
    return True


def no(_: StoredImage) -> bool:
    return False


def never_asked(each: StoredImage) -> bool:
    raise AssertionError(f"asked for {each}")


@pytest.mark.engine
def test_the_list_tells_what_uses_an_image_and_how_it_was_proven(engine: Docker, make: Make) -> None:
    tag = f"{REPOSITORY}:2"
    image_id, other = make(tag), make()
    prove(image_id, tag)
    remember_run("by-id", f"{REPOSITORY}:1", image_id)
    remember_run("by-name", tag)
    remember_run("another's", tag, other)
    container = engine.api.create_container(image_id, name=f"kit-store-{os.getpid()}")
    named, unnamed = store.images(engine, REPOSITORY)
    assert (named.image_id, named.tags, named.status) == (image_id, (tag,), "unlisted")
    assert (unnamed.image_id, unnamed.tags, unnamed.status) == (other, (), "untagged")
    assert named.verified is not None
    assert named.verified["status"] == "passed"
    assert unnamed.verified is None
    assert named.runs == ("by-id", "by-name")
    assert unnamed.runs == ("another's",)
    assert named.containers == {f"kit-store-{os.getpid()}": "created"}
    assert named.versions == {"tensorflow": "2.21.0"}
    assert named.size_bytes == named.own_bytes == 1 << 20
    engine.api.remove_container(container["Id"])
    assert store.image(engine, tag) == replace(named, containers={})


@pytest.mark.engine
def test_an_image_that_is_not_there_or_not_kits_is_not_removed(engine: Docker, make: Make) -> None:
    with pytest.raises(UsageError, match="there is no image"):
        store.remove(engine, ("kit/store-test:none",), yes)
    foreign = make(label="whose=mine")
    with pytest.raises(UsageError, match="not an image of kit's"):
        store.remove(engine, (foreign,), yes)
    assert engine.image(foreign)


@pytest.mark.engine
def test_what_is_removed_goes_with_its_records(engine: Docker, make: Make) -> None:
    tag = f"{REPOSITORY}:gone"
    image_id = make(tag)
    prove(image_id, tag)
    removed = store.remove(engine, (tag,), never_asked)
    assert (removed.removed, removed.kept) == ((tag,), {})
    assert removed.freed_bytes > 900_000
    assert engine.image(image_id) is None
    assert records.beside_image_record(image_id) == {}


@pytest.mark.engine
def test_one_name_of_two_goes_without_asking(engine: Docker, make: Make) -> None:
    image_id = make(f"{REPOSITORY}:a", f"{REPOSITORY}:b")
    remember_run("run", f"{REPOSITORY}:a", image_id)
    removed = store.remove(engine, (f"{REPOSITORY}:a",), never_asked)
    assert removed.removed == (f"{REPOSITORY}:a",)
    assert store.image(engine, image_id).tags == (f"{REPOSITORY}:b",)


@pytest.mark.engine
def test_an_image_of_a_run_goes_only_when_somebody_says_so(engine: Docker, make: Make) -> None:
    tag = f"{REPOSITORY}:ran"
    image_id = make(tag)
    remember_run("run", tag, image_id)
    refused = store.remove(engine, (tag,), no)
    assert (refused.removed, refused.kept) == ((), {tag: "used by 1 run; --yes removes it all the same"})
    assert engine.image(tag)
    assert store.remove(engine, (tag,), yes).removed == (tag,)
    assert engine.image(image_id) is None


@pytest.mark.engine
def test_an_image_of_a_stopped_container_goes_only_when_somebody_says_so(engine: Docker, make: Make) -> None:
    image_id = make()
    container = engine.api.create_container(image_id)
    assert store.remove(engine, (image_id,), no).kept == {
        image_id: "used by 1 container; --yes removes it all the same"
    }
    assert store.remove(engine, (image_id,), yes).removed == (image_id,)
    engine.api.remove_container(container["Id"])


@pytest.mark.engine
def test_an_image_of_a_running_container_stays_even_then(engine: Docker, make: Make, tmp_path: Path) -> None:
    source = tmp_path / "wait.c"
    source.write_text("#include <unistd.h>\nint main(void) { for (;;) pause(); }\n")
    subprocess.run(["gcc", "-static", "-o", tmp_path / "wait", source], check=True)
    tag = f"{REPOSITORY}:runs"
    make(tag, content=(tmp_path / "wait").read_bytes())
    name = f"kit-store-runs-{os.getpid()}"
    container = engine.api.create_container(tag, name=name, network_disabled=True)
    engine.api.start(container["Id"])
    assert store.remove(engine, (tag,), yes).kept == {tag: f"container {name} runs it; stop it first"}
    assert engine.image(tag)


@pytest.mark.engine
def test_prune_takes_what_is_superseded_and_nothing_else(engine: Docker, make: Make) -> None:
    untagged, killed, used = make(), make("org.kit/building:999999999"), make()
    kept = make(f"{REPOSITORY}:1"), make("lab/kit-store-test:1"), make(f"org.kit/building:{os.getpid()}")
    remember_run("run", f"{REPOSITORY}:1", used)
    pruned = store.prune(engine, no, repository=REPOSITORY)
    assert set(pruned.removed) == {untagged, "org.kit/building:999999999"}
    assert set(pruned.kept) == {used}
    assert pruned.freed_bytes > 1_800_000
    assert engine.image(killed) is None
    assert all(engine.image(each) for each in (*kept, used))
    assert store.prune(engine, yes, repository=REPOSITORY).removed == (used,)


@pytest.mark.engine
def test_build_cache_that_is_in_use_stays(engine: Docker, make: Make) -> None:
    make(f"{REPOSITORY}:1")
    before = engine.api.df()["BuildCache"]
    assert store.prune(engine, no, cache_days=3650, repository=REPOSITORY).kept == {}
    assert {row["ID"] for row in before} <= {row["ID"] for row in engine.api.df()["BuildCache"]}


# --- into a file, and out of it --------------------------------------------------------------------------------------


def silent(_what: str, _so_far: int, _total: int) -> None:
    return None


@pytest.mark.engine
def test_an_image_and_its_records_travel_in_a_file(engine: Docker, make: Make, tmp_path: Path) -> None:
    tag, file = f"{REPOSITORY}:moved", tmp_path / "image.kit"
    image_id = make(tag)
    prove(image_id, tag)
    proofs = {suffix: path.read_bytes() for suffix, path in records.beside_image_record(image_id).items()}
    saved = transfer.save(engine, tag, file, silent)
    assert (saved.image_id, saved.tag, saved.verified, saved.already) == (image_id, tag, True, False)
    assert saved.file_bytes == file.stat().st_size
    assert transfer.save(engine, tag, file, silent).already
    assert transfer.load(engine, file, silent).already

    store.remove(engine, (tag,), never_asked)
    assert engine.image(image_id) is None
    loaded = transfer.load(engine, file, silent)
    assert (loaded.image_id, loaded.tag, loaded.verified, loaded.already) == (image_id, tag, True, False)
    assert store.image(engine, tag).image_id == image_id
    assert {name: path.read_bytes() for name, path in records.beside_image_record(image_id).items()} == proofs


@pytest.mark.engine
def test_a_load_tells_whose_name_it_takes(engine: Docker, make: Make, tmp_path: Path) -> None:
    tag, file = f"{REPOSITORY}:renamed", tmp_path / "image.kit"
    image_id = make(tag)
    transfer.save(engine, tag, file, silent)
    newer = make(tag)
    assert transfer.load(engine, file, silent).replaced == newer
    assert store.image(engine, tag).image_id == image_id
    assert transfer.load(engine, file, silent).replaced is None


@pytest.mark.engine
def test_two_saves_of_an_image_are_the_same_file(engine: Docker, make: Make, tmp_path: Path) -> None:
    image_id = make(f"{REPOSITORY}:twice")
    files = tmp_path / "one.kit", tmp_path / "two.kit"
    for file in files:
        transfer.save(engine, image_id, file, silent)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.engine
def test_the_engine_itself_reads_the_file(engine: Docker, make: Make, tmp_path: Path) -> None:
    image_id, file = make(), tmp_path / "image.kit"
    transfer.save(engine, image_id, file, silent)
    engine_store.remove(engine, image_id)
    with file.open("rb") as opened:
        (loaded,) = engine._client.images.load(opened)
    assert loaded.id == image_id


@pytest.mark.engine
def test_a_file_that_is_not_whole_loads_nothing(engine: Docker, make: Make, tmp_path: Path) -> None:
    tag, file = f"{REPOSITORY}:broken", tmp_path / "image.kit"
    image_id = make(tag)
    transfer.save(engine, tag, file, silent)
    store.remove(engine, (tag,), never_asked)
    data = bytearray(file.read_bytes())
    data[-100_000] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(archive.ArchiveError, match="damaged"):
        transfer.load(engine, file, silent)
    file.write_bytes(data[:-1])
    with pytest.raises(archive.ArchiveError, match="1 of"):
        transfer.load(engine, file, silent)
    assert engine.image(image_id) is None
    assert engine.image(tag) is None
    assert records.beside_image_record(image_id) == {}


@pytest.mark.engine
def test_an_image_that_is_not_the_one_that_was_saved_is_not_kept(engine: Docker, make: Make, tmp_path: Path) -> None:
    """As when somebody puts another stream into a file: everything in it is right but what it is."""
    tag, other, file = f"{REPOSITORY}:claimed", make(), tmp_path / "image.kit"
    claimed = archive.Header("0.1.0", "sha256:" + "0" * 64, tag, ("sha256:1",), {}, 1 << 20, {".json": "{}"})
    with engine_store.saving(engine, other) as stream:
        archive.write(file, claimed, archive.same_each_time(stream), lambda _: None)
    engine_store.remove(engine, other)
    with pytest.raises(KitError, match="another image"):
        transfer.load(engine, file, silent)
    assert engine.image(other) is None
    assert engine.image(tag) is None


@pytest.mark.engine
def test_an_interrupted_load_leaves_nothing_with_a_name(engine: Docker, make: Make, tmp_path: Path) -> None:
    tag, file = f"{REPOSITORY}:interrupted", tmp_path / "image.kit"
    image_id = make(tag)
    transfer.save(engine, tag, file, silent)
    store.remove(engine, (tag,), never_asked)

    def interrupt(what: str, _so_far: int, _total: int) -> None:
        if what == "loading":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transfer.load(engine, file, interrupt)
    assert engine.image(tag) is None
    assert transfer.load(engine, file, silent).image_id == image_id


@pytest.mark.engine
def test_a_file_of_another_image_is_not_overwritten(engine: Docker, make: Make, tmp_path: Path) -> None:
    file = tmp_path / "image.kit"
    transfer.save(engine, make(), file, silent)
    before = file.read_bytes()
    with pytest.raises(UsageError, match="holds another image"):
        transfer.save(engine, make(), file, silent)
    assert file.read_bytes() == before


@pytest.mark.engine
def test_a_disk_that_is_too_small_is_told_before(engine: Docker, make: Make, tmp_path: Path) -> None:
    file = tmp_path / "image.kit"
    transfer.save(engine, image_id := make(), file, silent)
    header = replace(archive.read_header(file), image_bytes=1 << 60)
    with pytest.raises(KitError, match="not enough space: a file of"):
        transfer._room_to_save(engine, tmp_path / "other.kit", header)
    if transfer._engine_folder(engine):
        with pytest.raises(KitError, match="not enough space: the engine"):
            transfer._room_to_load(engine, header)
    assert engine.image(image_id)
