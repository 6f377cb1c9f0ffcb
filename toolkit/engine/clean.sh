#!/usr/bin/env bash
# Removes what kit made and can make again: its containers, images, cache and proofs. Runs, logs of builds, containers
# of kits that still run, your own images and the engine's build cache (yours as well: docker builder prune) stay.
set -euo pipefail
[ -x /usr/bin/docker ] && export PATH="/usr/bin:$PATH"
home=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}

if timeout 20 docker version >/dev/null 2>&1; then
  if [ -x .venv/bin/python ]; then
    .venv/bin/python -c 'from toolkit.engine.docker import Docker; Docker().sweep()' 2>/dev/null || true
  fi
  for label in org.kit.image org.kit.base; do
    docker images -q --filter label=$label | sort -u | xargs -r docker rmi -f >/dev/null 2>&1 ||
      echo "clean: an image is in use by a running container and stays" >&2
  done
fi
rm -rf "${XDG_CACHE_HOME:-$home/.cache}/kit" "${XDG_STATE_HOME:-$home/.local/state}/kit/images"
