"""The bill of materials is valid CycloneDX with every package; a scan by the real pip-audit never calls the unknown clean."""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from rich.console import Console

from toolkit.engine.downloads import ca_bundle, uv_command
from toolkit.images import bill, variants, wheels
from toolkit.images.variants import Variant
from toolkit.model import BuildRecord, KitError, document
from toolkit.show import images as view

DPKG = ["libc6 2.36-9+deb12u10", "python3 3.11.2-1+b1", "base-files 12.4+deb12u11", ""]
HERE = wheels.Target("3.11", "x86_64")
IMAGE_ID = "sha256:" + "0" * 64

# Of https://github.com/pypa/advisory-database, vulns/urllib3/PYSEC-2023-192.yaml, in the form of https://ossf.github.io/osv-schema/
ADVISORY = {
    "id": "PYSEC-2023-192",
    "modified": "2023-10-10T14:28:19.389317Z",
    "published": "2023-10-04T17:15:00Z",
    "aliases": ["CVE-2023-43804", "GHSA-v845-jxx5-vc9f"],
    "details": "urllib3 keeps the Cookie header over redirects to another origin.",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "urllib3", "purl": "pkg:pypi/urllib3"},
            "ranges": [
                {
                    "type": "ECOSYSTEM",
                    "events": [
                        {"introduced": "2.0.0"}, {"fixed": "2.0.6"}, {"introduced": "0"}, {"fixed": "1.26.17"},
                    ],
                }
            ],
            "versions": ["1.26.16"],
        }
    ],
}  # fmt: skip


# --- the bill --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "each",
    [variants.variant("gpu"), variants.variant("cpu", "2.15"), variants.variant("cpu", extra="notebook")],
    ids=lambda each: each.name,
)
def test_a_bill_is_valid_and_has_every_package(each: Variant) -> None:
    made = bill.bill(each, HERE, "debian", DPKG, IMAGE_ID)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(made)) is None
    assert made["metadata"]["component"]["bom-ref"] == IMAGE_ID
    assert f"{made['metadata']['component']['name']}:{made['metadata']['component']['version']}" == each.tag
    by_purl = {row["purl"]: row for row in made["components"]}
    assert len(by_purl) == len(made["components"])
    pins = wheels.pins(each.locks, HERE)
    for pin in pins.values():
        row = by_purl.pop(f"pkg:pypi/{pin.name}@{pin.version}")
        assert {digest["content"] for digest in row["hashes"]} == pin.sha256
        assert {digest["alg"] for digest in row["hashes"]} == {"SHA-256"}
    assert "tensorflow" in " ".join(pins)
    # A plus is a blank elsewhere, so a purl says it in hexadecimal.
    assert by_purl.pop("pkg:deb/debian/libc6@2.36-9%2Bdeb12u10")["version"] == "2.36-9+deb12u10"
    assert len(by_purl) == 2
    (image,) = [row for row in made["dependencies"] if row["ref"] == IMAGE_ID]
    assert len(image["dependsOn"]) == len(made["components"])


def test_a_package_is_of_the_images_own_distribution() -> None:
    made = bill.bill(variants.variant("cpu"), HERE, "ubuntu", ["libc6 2.39-0ubuntu8"], IMAGE_ID)
    assert [row["purl"] for row in made["components"] if "deb" in row["purl"]] == ["pkg:deb/ubuntu/libc6@2.39-0ubuntu8"]


# --- the scan --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def auditor() -> None:
    """Make sure that pip-audit is there; skip, or fail where CI is to have everything, where PyPI does not answer."""
    ca = ca_bundle(dict(os.environ))
    done = subprocess.run(
        [uv_command(), "tool", "run", "--quiet", "--from", bill.AUDITOR, "pip-audit", "--version"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **({"SSL_CERT_FILE": str(ca)} if ca else {})},
    )
    if done.returncode != 0:
        reason = f"{bill.AUDITOR} cannot be installed: {done.stderr.strip()[-200:]}"
        if os.environ.get("KIT_REQUIRE_ENGINE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def database(auditor: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give pip-audit a vulnerability database of this machine, in the protocol of OSV, that knows one advisory.

    https://google.github.io/osv.dev/post-v1-query/
    """

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return None

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = (asked["package"]["name"], asked["version"]) == ("urllib3", "1.26.16")
            body = json.dumps({"vulns": [ADVISORY]} if known else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"http://127.0.0.1:{server.server_port}/v1/query")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def locked(folder: Path, *packages: str) -> Variant:
    """Return a variant whose lock has packages, as name==version."""
    each = replace(variants.variant("cpu"), folder=folder)
    each.lock_file.parent.mkdir()
    each.lock_file.write_text("".join(f"{package} --hash=sha256:{'0' * 64}\n" for package in packages))
    return each


def seen(scan: dict[str, Any]) -> str:
    """Return what people read of a scan."""
    console = Console(width=120)
    with console.capture() as capture:
        for line in view.scanned(scan):
            console.print(line)
    return capture.get()


def test_a_vulnerability_is_told_with_its_fix(database: None, tmp_path: Path) -> None:
    scan = bill.scan(locked(tmp_path, "urllib3==1.26.16", "six==1.17.0"), HERE)
    assert (scan["audited"], scan["unknown"]) == (2, [])
    (found,) = scan["vulnerabilities"]
    assert (found["package"], found["version"], found["id"]) == ("urllib3", "1.26.16", "PYSEC-2023-192")
    assert set(found["fixed_in"]) == {"1.26.17", "2.0.6"}
    assert "1 in 2 packages" in seen(scan)
    assert "urllib3 1.26.16  PYSEC-2023-192  fixed in 1.26.17, 2.0.6" in seen(scan)


def test_clean_is_what_the_database_knows_nothing_against(database: None, tmp_path: Path) -> None:
    scan = bill.scan(locked(tmp_path, "six==1.17.0", "urllib3==1.26.16 ; python_full_version >= '3.12'"), HERE)
    assert scan == {"audited": 1, "unknown": [], "vulnerabilities": []}
    assert "none known in 1 packages" in seen(scan)


def test_a_package_that_the_database_does_not_have_is_not_clean(auditor: None, tmp_path: Path) -> None:
    scan = bill.scan(locked(tmp_path, "kit-test-of-no-index==1.0"), HERE)
    assert scan == {"audited": 0, "unknown": ["kit-test-of-no-index"], "vulnerabilities": []}
    assert "1 packages unknown to the database: kit-test-of-no-index" in seen(scan)
    assert "none known" not in seen(scan)


def test_no_answer_is_no_scan(auditor: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", "http://127.0.0.1:9/v1/query")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(KitError, match=r"^pip-audit gave no answer: .*127\.0\.0\.1.*$"):
        bill.scan(locked(tmp_path, "six==1.17.0"), HERE)


# --- what a build shows of both --------------------------------------------------------------------------------------


def test_a_build_shows_where_its_bill_is_and_what_the_scan_found() -> None:
    scan = {
        "audited": 48,
        "unknown": [f"own-{number}" for number in range(8)],
        "vulnerabilities": [{"package": "one", "version": "1.0", "id": "PYSEC-1", "fixed_in": []}],
    }
    passed = {"status": "passed", "gpus": {"expected": 0, "container": 0, "tensorflow": 0}, "libraries": {}}
    record = BuildRecord(
        "kit/tensorflow", "kit/tensorflow:1", IMAGE_ID, "cpu", {}, 1, 1.0, False, passed, (), "log",
        bill="/state/images/0.cdx.json", scan=scan,
    )  # fmt: skip
    console = Console(width=120)
    with console.capture() as capture:
        console.print(view.built(record))
    shown = capture.get()
    assert "bill of materials  /state/images/0.cdx.json" in shown
    assert "1 in 48 packages" in shown
    assert "one 1.0  PYSEC-1  no fix yet" in shown
    assert "8 packages unknown to the database: own-0, own-1, own-2, own-3, own-4 and 3 more" in shown
    assert document("build", record)["scan"] == scan


def test_a_line_of_a_build_is_shown_as_it_is() -> None:
    console = Console(width=120, force_terminal=True, file=io.StringIO())
    with view.building(console) as on_line:
        on_line("#8 0.1 kit:x:1000:1000::/home/kit [bold]")
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "kit:x:1000:1000::/home/kit [bold]" in shown
