"""The bill of materials of an image (CycloneDX), and what is known of its packages' vulnerabilities."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from toolkit.engine.downloads import ca_bundle, uv_command
from toolkit.images import wheels
from toolkit.images.variants import Variant
from toolkit.model import KitError

# Pinned, since what it reports depends on it; uv installs it on first use. Source: https://pypi.org/project/pip-audit/
AUDITOR = "pip-audit==2.10.1"


def bill(each: Variant, on: wheels.Target, distribution: str, debian: list[str], image_id: str) -> dict[str, Any]:
    """Return the bill of materials of an image as CycloneDX JSON: its locked Python packages and its Debian ones.

    The target decides the lock's markers, `distribution` is the ID of the image's /etc/os-release ("ubuntu"), and `debian`
    what its dpkg says.
    Sample of its lines: 'libc6 2.36-9+deb12u10'. Source: https://cyclonedx.org/docs/1.6/json/
    """
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    made = Bom()
    made.metadata.component = Component(
        name=each.repository, version=each.tag.partition(":")[2], type=ComponentType.CONTAINER, bom_ref=image_id
    )
    for pin in wheels.pins(each.locks, on).values():
        made.components.add(
            Component(
                name=pin.name,
                version=pin.version,
                type=ComponentType.LIBRARY,
                purl=PackageURL("pypi", name=pin.name, version=pin.version),
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in sorted(pin.sha256)],
            )
        )
    for name, version in (line.split() for line in debian if len(line.split()) == 2):
        purl = PackageURL("deb", distribution, name, version)
        made.components.add(Component(name=name, version=version, type=ComponentType.LIBRARY, purl=purl))
    made.register_dependency(made.metadata.component, made.components)
    found: dict[str, Any] = json.loads(JsonV1Dot6(made).output_as_string())
    return found


def scan(each: Variant, on: wheels.Target) -> dict[str, Any]:
    """Return what pip-audit knows of the packages that a variant's locks have for a target.

    {"audited": number, "unknown": [package], "vulnerabilities": [{"package", "version", "id", "fixed_in": [version]}]};
    a package that its database does not have is unknown, never clean. Raises KitError where it cannot be asked.
    """
    ca = ca_bundle(dict(os.environ))
    trusted = {"SSL_CERT_FILE": str(ca), "REQUESTS_CA_BUNDLE": str(ca)} if ca else {}
    with tempfile.TemporaryDirectory() as folder:
        command = [uv_command(), "tool", "run", "--quiet", "--from", AUDITOR, "pip-audit", "--disable-pip"]
        command += ["--require-hashes", "--format", "json", "--progress-spinner", "off", "--output", f"{folder}/found"]
        lock = Path(folder, "lock.txt")
        lock.write_text("".join(pin.line for pin in wheels.pins(each.locks, on).values()), encoding="utf-8")
        command += ["--requirement", str(lock)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **trusted})
        try:
            told = json.loads(Path(folder, "found").read_text(encoding="utf-8"))["dependencies"]
        except (OSError, ValueError, KeyError) as error:
            last = done.stderr.strip().rpartition("\n")[2]  # of a traceback that says it in its last line
            raise KitError(f"pip-audit gave no answer: {last}") from error
    return {
        "audited": sum("version" in row for row in told),
        "unknown": sorted(row["name"] for row in told if "version" not in row),
        "vulnerabilities": [
            {
                "package": row["name"],
                "version": row["version"],
                "id": fault["id"],
                "fixed_in": fault.get("fix_versions", []),
            }
            for row in told
            for fault in row.get("vulns", [])
        ],
    }
