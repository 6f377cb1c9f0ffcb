"""A log reads the same in every form that people keep logs in, with the numbers of its lines, and hostile input ends."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit import explain
from toolkit.explain.reading import blocks
from toolkit.explain.search import BLOCK, MOST
from toolkit.model import Evidence, Explanation, KitError

LOG = """\
2024-05-01 10:00:00.000001: I tensorflow/core/platform/cpu_feature_guard.cc:210] This TensorFlow binary is optimized
Downloading "libtensorflow_cc.so.2" <600 MB> & more — 50 %
  cause: failed to write to file `/root/.cache/uv/libtensorflow_cc.so.2`: No space left on device (os error 28)
the end
"""
SAID = LOG.splitlines()[2].strip()


def explained(log: bytes) -> Explanation:
    return explain.explain(blocks(io.BytesIO(log)), "log")


def docker(text: str) -> bytes:
    """Return a log as Docker's json-file driver keeps it: Go escapes <, > and &."""
    rows = (
        json.dumps(
            {"log": line, "stream": "stderr", "time": "2024-05-01T10:00:00.123456789Z"},
            separators=(",", ":"),
            ensure_ascii=False,
        )
        for line in text.splitlines(keepends=True)
    )
    go = {"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"}
    return "".join(f"{row.translate(str.maketrans(go))}\n" for row in rows).encode()


FORMS = {
    "plain": LOG.encode(),
    "with a byte order mark": LOG.encode("utf-8-sig"),
    "carriage returns": LOG.replace("\n", "\r\n").encode(),
    "UTF-16 of PowerShell": LOG.encode("utf-16"),
    "UTF-16 big-endian": b"\xfe\xff" + LOG.encode("utf-16-be"),
    "UTF-16 without a mark": LOG.encode("utf-16-le"),
    "gzip": gzip.compress(LOG.encode()),
    "two gzip files in one": gzip.compress(LOG[:50].encode()) + gzip.compress(LOG[50:].encode()),
    "UTF-16 in gzip": gzip.compress(LOG.encode("utf-16")),
    "Docker's JSON": docker(LOG),
    "Docker's JSON in gzip": gzip.compress(docker(LOG)),
    "colours": LOG.replace("No space", "\x1b[1;31mNo\x1b[0m \x1b[31mspace").replace("device", "device\x1b[0m").encode(),
    "colours in Docker's JSON": docker(LOG.replace("No space", "\x1b[1;31mNo\x1b[0m space")),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_log_reads_the_same_in_every_form(form: str) -> None:
    record = explained(FORMS[form])
    assert (record.verdict, [found.id for found in record.findings]) == ("fault", ["disk-full"])
    assert record.findings[0].evidence == (Evidence("log:3", SAID),)


PREFIXES = {
    "journald": "May 01 10:00:00 lab7 dockerd[812]: ",
    "journald with a zone": "2024-05-01T10:00:00+0200 lab7 kernel: ",
    "Kubernetes (CRI)": "2024-05-01T10:00:00.123456789Z stderr F ",
    "compose": "train-1  | ",
    "klog": "E0501 10:00:00.123456       1 server.go:42] ",
    "dmesg": "[ 1101.011360] ",
}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_change_nothing(prefix: str) -> None:
    record = explained("".join(PREFIXES[prefix] + line for line in LOG.splitlines(keepends=True)).encode())
    assert [found.id for found in record.findings] == ["disk-full"]
    assert record.findings[0].evidence[0].where == "log:3"


def test_the_outputs_of_a_notebook_are_its_log() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["No space left on device is what people search for"]},
        {"cell_type": "code", "source": "!pip install x", "outputs": []},
        {
            "cell_type": "code",
            "outputs": [{"output_type": "stream", "name": "stderr", "text": LOG.splitlines(keepends=True)}],
        },
        {"cell_type": "code", "outputs": [{"output_type": "execute_result", "data": {"text/plain": "[]"}}]},
    ]
    record = explained(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode())
    assert [found.evidence for found in record.findings] == [(Evidence("log:3", SAID),)]
    traceback = [
        {"output_type": "error", "ename": "OSError", "evalue": "", "traceback": ["\x1b[0;31mOSError\x1b[0m: x", SAID]}
    ]
    record = explained(json.dumps({"cells": [{"outputs": traceback}], "nbformat": 4}).encode())
    assert [found.id for found in record.findings] == ["disk-full"]
    none = explained(json.dumps({"cells": cells[:2], "nbformat": 4}).encode())
    assert none == Explanation("benign", ())
    cut = json.dumps({"cells": cells, "nbformat": 4}).encode()[:-20]
    assert explained(cut).verdict == "fault", "what is no whole notebook is read as text"


def test_line_numbers_hold_over_blocks_and_lines_that_are_longer_than_one() -> None:
    healthy = b"step 1 of 9: loss 0.1\n" * (3 * BLOCK // 22)
    lines = healthy.count(b"\n")
    record = explained(healthy + LOG.encode() + healthy + b"x" * (3 * BLOCK) + b"\n" + (SAID.encode() + b"\n") * 10)
    numbers = [int(each.where.removeprefix("log:")) for each in record.findings[0].evidence]
    assert numbers == [lines + 3, *range(2 * lines + 6, 2 * lines + 5 + MOST)]


def test_what_is_damaged_is_read_as_far_as_it_goes() -> None:
    whole = gzip.compress((LOG + "more\n" * 100_000).encode())
    assert explained(whole[: len(whole) // 2]).verdict == "fault"
    with pytest.raises(KitError, match="begins as one"):
        explained(b"\x1f\x8bthis is none")


HOSTILE = {
    "empty": b"",
    "a zero": b"\0",
    "random bytes": bytes((i * i * 7919 + i) % 251 for i in range(300_000)),
    "a long line": b"x" * 30_000_000,
    "a long line of the beginning of a message": b"No space left on " * 1_000_000,
    "braces": b'{"cells": ' + b"[" * 3_000_000,
    "escapes": b"\x1b[" * 3_000_000,
    "quotes": b'{"log":"' + rb"\"" * 2_000_000,
    "steps": b"#1 0.1   \xe2\x95\xb0\xe2\x94\x80\xe2\x96\xb6 Because\n" + b"#1 0.1       and\n" * 300_000,
    "half a mark": b"\xff\xfe\x00",
    "a bomb": gzip.compress(b"\0" * 200_000_000),
    "carriage returns": b"\r" * 3_000_000,
    "messages": (SAID + "\n").encode() * 200_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_ends_with_a_verdict(name: str) -> None:
    """In a process with 400 MB and 60 seconds, both of which it would want more of if it grew or hung."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_DATA, (400 << 20, 400 << 20))\n"
        "from toolkit import explain; from toolkit.explain.reading import blocks\n"
        "print(explain.explain(blocks(sys.stdin.buffer), 'log').verdict)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        input=HOSTILE[name],
        capture_output=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert ended.stderr == b""
    assert ended.stdout.decode().strip() in {"fault", "benign", "unknown"}
