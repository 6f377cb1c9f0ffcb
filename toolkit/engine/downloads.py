"""What downloads need on this machine: uv, the CA bundle, the proxies."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")
CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
SYSTEM_CA = (
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Ubuntu, Arch
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # Fedora, RHEL
    Path("/etc/ssl/ca-bundle.pem"),  # openSUSE
)


def ca_bundle(environment: dict[str, str]) -> Path | None:
    """Return the CA bundle that this machine's downloads use: the environment's, else the system's."""
    named = (Path(environment[name]) for name in CA_VARIABLES if environment.get(name))
    return next((path for path in [*named, *SYSTEM_CA] if path.is_file()), None)


def network(environment: dict[str, str]) -> dict[str, str]:
    """Return what a build is told of the network: proxies, package indexes (pip's as uv's), a Debian mirror."""
    told = {name: environment[name] for name in (*PROXIES, *INDEXES, "DEBIAN_MIRROR") if environment.get(name)}
    if (index := environment.get("PIP_INDEX_URL")) and not any(name in told for name in INDEXES[:2]):
        told["UV_DEFAULT_INDEX"] = index
    if (extra := environment.get("PIP_EXTRA_INDEX_URL")) and not any(name in told for name in INDEXES[2:]):
        told["UV_INDEX"] = extra
    return told


def uv_environment() -> dict[str, str]:
    """Return this process's environment for uv, which is told of the machine's CA bundle and of pip's indexes."""
    ca = ca_bundle(dict(os.environ))
    return {**os.environ, **network(dict(os.environ)), **({"SSL_CERT_FILE": str(ca)} if ca else {})}


def uv_compile(arguments: list[str], folder: str) -> subprocess.CompletedProcess[str]:
    """Run `uv pip compile` in a folder, which is where it looks for its settings, and return what it said."""
    return subprocess.run(
        [uv_command(), "pip", "compile", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=uv_environment(),
    )


def uv_command() -> str:
    """Return the uv that was installed with kit."""
    import uv

    return str(uv.find_uv_bin())
