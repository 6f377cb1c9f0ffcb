#!/usr/bin/env bash
# Makes sure that a base image is in the engine: pulls it, or where no registry answers makes it from a mirror.
# usage: base.sh debian:bookworm-slim|ubuntu:24.04 [--bootstrap]    with --bootstrap no registry is asked
# DEBIAN_MIRROR names the mirror of whichever distribution it is; then nothing else is asked for its packages.
set -euo pipefail

image=$1
[ -x /usr/bin/docker ] && export PATH="/usr/bin:$PATH"
say() { printf 'base: %s\n' "$*" >&2; }

docker image inspect "$image" >/dev/null 2>&1 && exit 0
if [ "${2:-}" != --bootstrap ]; then
  say "pulling $image"
  refusal=$(timeout --foreground 60 docker pull -q "$image" 2>&1 >/dev/null) && exit 0
  say "no registry gives it: ${refusal##*$'\n'}"
fi

mirror=${DEBIAN_MIRROR:-} mirror=${mirror%/} security=
case $image in
  debian:*-slim)
    distribution=debian suite=${image#debian:} suite=${suite%-slim}
    sources=("deb ${mirror:-http://deb.debian.org/debian} $suite main")
    case $mirror in
      "") security=http://deb.debian.org/debian-security ;;
      *://*/debian) security=$mirror-security ;; # where most mirrors have it
    esac ;;
  ubuntu:24.04)
    distribution=ubuntu suite=noble mirror=${mirror:-http://archive.ubuntu.com/ubuntu}
    sources=("deb $mirror $suite main universe" "deb $mirror $suite-updates main universe"
      "deb $mirror $suite-security main universe") ;;
  *) say "cannot make $image; only debian:<suite>-slim and ubuntu:24.04 can be made from a mirror"; exit 3 ;;
esac
[ "$(id -u)" = 0 ] || { say "making $image from a mirror needs root; run: sudo make engine"; exit 3; }
keyring=/usr/share/keyrings/$distribution-archive-keyring.gpg
if ! command -v mmdebstrap >/dev/null || [ ! -e "$keyring" ]; then
  package=ubuntu-keyring
  [ "$distribution" = ubuntu ] || package=debian-archive-keyring
  say "installing mmdebstrap and $package to make $image"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap "$package" </dev/null >/dev/null ||
    { say "making $image needs mmdebstrap and $package, which apt does not install here"; exit 3; }
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# usage: answers URL
answers() { /usr/lib/apt/apt-helper download-file "$1" "$work/answer" >/dev/null 2>&1; }
if [ -n "$security" ] && { [ -z "$mirror" ] || answers "$security/dists/$suite-security/InRelease"; }; then
  sources+=("deb $security $suite-security main")
elif [ "$distribution" = debian ]; then
  say "without security updates: no debian-security answers beside $mirror"
fi
say "making $image from ${sources[0]}"
# The same reductions as Docker's official slim images: no documentation, manuals or translations. apt is named since
# Ubuntu does not count it among the required packages.
mmdebstrap --variant=minbase --include=apt --keyring="$keyring" \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/info/*' \
  --aptopt='Acquire::Languages "none"' \
  "$suite" "$work/base.tar" "${sources[@]}"
# In a step of its own: from a pipe that ends early the engine makes an image too, an empty one.
# It is stamped with what it is, so that nobody takes it for the registry's.
docker import --change 'CMD ["bash"]' --change "LABEL org.kit.base=mmdebstrap" "$work/base.tar" "$image" >/dev/null
say "$image is ready ($(docker image inspect --format '{{.Size}}' "$image" | numfmt --to=si)B)"
