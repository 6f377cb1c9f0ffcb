# Installs a lock into /opt/venv, every file checked by its hash: from a folder of wheels where it has some, else from
# the package index. Without --compile-bytecode, on top of what is there, only what is new is compiled and stamped.
# usage: install.sh LOCK [--compile-bytecode]
set -eu
lock=$1
shift
if [ -s /tmp/network ]; then . /tmp/network; fi
if [ -s /tmp/ca ]; then export SSL_CERT_FILE=/tmp/ca; fi
export VIRTUAL_ENV=/opt/venv UV_LINK_MODE=copy UV_CACHE_DIR=/tmp/cache
export UV_NO_INSTALLER_METADATA=1 # what uv notes beside a package has the time of a folder's wheel
if [ -n "$(find /tmp/wheels -name '*.whl' | head -n 1)" ]; then set -- "$@" --no-index --find-links /tmp/wheels; fi
touch -d '1 second ago' /tmp/before
/tmp/uv/uv pip install -q --require-hashes --no-deps "$@" -r "$lock"
case " $* " in *" --compile-bytecode "*) rm /tmp/before; exit ;; esac
if [ -z "${FULL:-}" ]; then # the packages' own tests, which a core has none of either (slim.sh)
  for site in /opt/venv/lib/python3*/site-packages; do
    rm -rf "$site/pandas/tests" "$site/matplotlib/tests" "$site"/mpl_toolkits/*/tests
  done
fi
find /opt/venv -newer /tmp/before -name '*.py' ! -path '*/lib2to3/tests/*' >/tmp/new
python -m compileall -q --invalidation-mode unchecked-hash -i /tmp/new || [ $? -eq 1 ] # templates are no Python
rm -f /tmp/new
sh /tmp/stamp.sh
