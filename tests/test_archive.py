"""The file that an image travels in: what is cut off, damaged or another's is named, and what was cut off goes on."""

from __future__ import annotations

import io
import random
import re
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from toolkit.images import archive
from toolkit.model import KitError

HEADER = archive.Header(
    kit="0.1.0",
    image_id="sha256:" + "a" * 64,
    tag="kit/tensorflow:2.21.0-cpu",
    layers=("sha256:" + "b" * 64,),
    labels={"org.kit.variant": "cpu"},
    image_bytes=1,
    records={".json": '{"verified": {"status": "passed"}}'},
)
CHUNKS = 3


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "CHUNK_BYTES", 1 << 16)


def stream(seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(CHUNKS << 16) + b"the end"


def pieces(data: bytes, until: int | None = None) -> Iterator[bytes]:
    """Give a stream as it comes, in pieces of no size in particular; broken off where it is cut."""
    for start in range(0, len(data) if until is None else until, 10_007):
        yield data[start : start + 10_007]
    if until is not None:
        raise KeyboardInterrupt


def saved(folder: Path, data: bytes | None = None) -> Path:
    file = folder / "image.kit"
    archive.write(file, HEADER, pieces(data or stream()), lambda _: None)
    return file


def read_whole(file: Path) -> bytes:
    """Read a file as a load does: what it says, all of it, and its tar."""
    archive.read_header(file)
    archive.check(file, lambda _: None)
    return b"".join(archive.content(file))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file = saved(tmp_path)
    assert archive.read_header(file) == replace(HEADER, file_bytes=file.stat().st_size)
    assert read_whole(file) == stream()
    assert not archive.partial(file).exists()


def test_any_zstd_reads_the_tar(tmp_path: Path) -> None:
    with saved(tmp_path).open("rb") as file:
        plain = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        assert plain.read() == stream()


@pytest.mark.parametrize("missing", [1, 4711, 1 << 16])
def test_a_cut_off_copy_is_told_by_how_much(tmp_path: Path, missing: int) -> None:
    file = saved(tmp_path)
    whole = file.stat().st_size
    with file.open("r+b") as opened:
        opened.truncate(whole - missing)
    with pytest.raises(archive.ArchiveError, match=f"cut off: {missing} of {whole} bytes are missing"):
        archive.read_header(file)


@pytest.mark.parametrize("kept", [0, 3, 100])
def test_a_copy_cut_off_in_its_header_is_none(tmp_path: Path, kept: int) -> None:
    file = saved(tmp_path)
    with file.open("r+b") as opened:
        opened.truncate(kept)
    with pytest.raises(archive.ArchiveError, match="not made by kit image save, or its beginning is damaged"):
        archive.read_header(file)


def test_bytes_behind_the_end_are_told(tmp_path: Path) -> None:
    file = saved(tmp_path)
    with file.open("ab") as opened:
        opened.write(b"more")
    with pytest.raises(archive.ArchiveError, match="4 bytes behind its end"):
        archive.read_header(file)


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    file = saved(tmp_path)
    good = file.read_bytes()
    for place in random.Random(1).sample(range(len(good)), 60):
        file.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(archive.ArchiveError, match="damaged"):
            read_whole(file)


def test_damage_is_told_by_its_place(tmp_path: Path) -> None:
    file = saved(tmp_path)
    data = bytearray(file.read_bytes())
    data[-1] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(archive.ArchiveError) as caught:
        archive.check(file, lambda _: None)
    place = re.search(r"behind byte (\d+) of", str(caught.value))
    assert place is not None
    assert len(data) - 1000 < int(place[1]) < len(data)  # the last chunk holds 'the end' alone


def test_an_interrupted_save_goes_on_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "image.kit"
    with pytest.raises(KeyboardInterrupt):
        archive.write(file, HEADER, pieces(stream(), until=150_000), lambda _: None)
    assert not file.exists()
    unfinished = archive.partial(file).read_bytes()
    with pytest.raises(archive.ArchiveError, match="unfinished"):
        archive.read_header(archive.partial(file))

    archive.write(file, HEADER, pieces(stream()), lambda _: None)
    header = len(archive._header_frame(HEADER))
    assert len(unfinished) - header > 2 << 16  # two chunks were whole
    assert file.read_bytes()[header:].startswith(unfinished[header:])
    (tmp_path / "at once").mkdir()
    assert file.read_bytes() == saved(tmp_path / "at once").read_bytes()


def test_what_is_wrong_in_an_interrupted_save_is_written_again(tmp_path: Path) -> None:
    file = tmp_path / "image.kit"
    with pytest.raises(KeyboardInterrupt):
        archive.write(file, HEADER, pieces(stream(), until=150_000), lambda _: None)
    data = bytearray(archive.partial(file).read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.partial(file).write_bytes(data)
    archive.write(file, HEADER, pieces(stream()), lambda _: None)
    assert b"".join(archive.content(file)) == stream()


def test_an_interrupted_save_of_another_image_is_not_continued(tmp_path: Path) -> None:
    file = tmp_path / "image.kit"
    with pytest.raises(KeyboardInterrupt):
        archive.write(file, replace(HEADER, image_id="sha256:other"), pieces(stream(1), until=150_000), lambda _: None)
    archive.write(file, HEADER, pieces(stream()), lambda _: None)
    assert archive.read_header(file).image_id == HEADER.image_id
    assert b"".join(archive.content(file)) == stream()


def test_two_kits_do_not_write_one_file(tmp_path: Path) -> None:
    file = tmp_path / "image.kit"

    def meanwhile() -> Iterator[bytes]:
        yield stream()
        with pytest.raises(KitError, match="another kit is writing"):
            archive.write(file, HEADER, pieces(stream()), lambda _: None)

    archive.write(file, HEADER, meanwhile(), lambda _: None)
    assert b"".join(archive.content(file)) == stream()


def test_a_full_disk_is_told_and_the_save_goes_on_later(tmp_path: Path) -> None:
    file = tmp_path / "image.kit"

    def full() -> Iterator[bytes]:
        yield stream()[: 2 << 16]
        raise OSError(28, "No space left on device")

    with pytest.raises(KitError, match=r"no space left for .* it goes on where it stopped"):
        archive.write(file, HEADER, full(), lambda _: None)
    archive.write(file, HEADER, pieces(stream()), lambda _: None)
    assert b"".join(archive.content(file)) == stream()


def engine_tar(mtime: int, *, left_out: str = "") -> io.BytesIO:
    """Return a tar as the engine saves an image, at some time."""
    files = {
        "blobs/sha256/cc": b"{}",
        "blobs/sha256/dd": bytes(3 << 20),
        "manifest.json": b'[{"Config": "blobs/sha256/cc", "RepoTags": null, "Layers": ["blobs/sha256/dd"]}]',
    }
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        folder = tarfile.TarInfo("blobs/")
        folder.type, folder.mtime = tarfile.DIRTYPE, mtime
        tar.addfile(folder)
        for name, data in files.items():
            if name != left_out:
                member = tarfile.TarInfo(name)
                member.size, member.mtime = len(data), mtime
                tar.addfile(member, io.BytesIO(data))
    made.seek(0)
    return made


def test_two_saves_of_an_image_are_the_same_stream() -> None:
    first, second = (b"".join(archive.same_each_time(engine_tar(mtime))) for mtime in (1, 2_000_000_000))
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as tar, tarfile.open(fileobj=engine_tar(1)) as saved:
        assert tar.getnames() == saved.getnames()
        for member in saved.getmembers():
            if member.isfile():
                assert tar.extractfile(member.name).read() == saved.extractfile(member).read()  # type: ignore[union-attr]


@pytest.mark.parametrize("until", [3000, 2 << 20])
def test_an_engine_that_breaks_off_is_not_taken_for_the_end(until: int) -> None:
    broken = io.BytesIO(engine_tar(1).getvalue()[:until] + b'{"errorDetail":{"message":"disk"}}')
    with pytest.raises(KitError, match="the engine broke off"):
        list(archive.same_each_time(broken))


def test_a_layer_that_the_engine_leaves_out_is_missed() -> None:
    with pytest.raises(KitError, match="the engine broke off"):
        list(archive.same_each_time(engine_tar(1, left_out="blobs/sha256/dd")))
