# Builds the rows of image.toml where there is no kit, in CI say: docker buildx bake [TARGET…] (buildx 0.11 or newer).
# docker-bake.json, beside it and read with it, holds the targets with the arguments and labels of kit's own builds.
# Nothing is proven here: kit verify does that, and kit run warns until it has.

variable "REPOSITORY" {
  default = "kit/tensorflow"
}

# What holds `uv` at its root: a folder, or an image (https://docs.astral.sh/uv/guides/integration/docker/).
variable "UV" {
  default = "docker-image://ghcr.io/astral-sh/uv:latest"
}

# For a build without a network: the folder of `kit image fetch-wheels`, and in its folder debs that of the base.
variable "WHEELS" {
  default = "docker-image://scratch"
}
variable "DEBS" {
  default = "docker-image://scratch"
}

# Another base image than the row's, by digest where it shall be the same tomorrow; the digest is a label too.
variable "BASE" {
  default = ""
}
variable "BASE_DIGEST" {
  default = ""
}

# The CA bundle of a network that re-signs TLS. Proxies and indexes come as a secret, since they have passwords: lines
# as "export HTTPS_PROXY=…" in the environment's NETWORK.
variable "CA_BUNDLE" {
  default = ""
}

variable "REVISION" {
  default = ""
}

group "default" {
  targets = ["newest"]
}

# The newest TensorFlow, for GPUs and without.
group "newest" {
  targets = [
    for row in rows : row.name
    if row.tensorflow == rows[0].tensorflow && row.flavour == "tested" && row.stage == "image"
  ]
}

# Every row, without the extras.
group "all" {
  targets = [for row in rows : row.name if row.stage == "image"]
}

target "tensorflow" {
  name   = row.name
  matrix = { row = rows }
  target = row.stage
  tags   = ["${REPOSITORY}:${row.tag}"]
  args   = BASE == "" ? row.arguments : merge(row.arguments, { BASE = BASE })
  labels = merge(row.labels, {
    "org.opencontainers.image.revision"    = REVISION
    "org.opencontainers.image.base.digest" = BASE_DIGEST
  })
  contexts = { uv = UV, wheels = WHEELS, debs = DEBS }
  secret   = concat(CA_BUNDLE == "" ? [] : ["id=ca,src=${CA_BUNDLE}"], ["id=network,env=NETWORK"])
  attest   = ["type=provenance,disabled=true"]
}
