# Installs a lock into /opt/venv, every file checked by its hash: from a folder of wheels where it has some, else from
# the package index. Without --compile-bytecode, on top of what is there, only what is new is compiled and stamped.
# usage: install.sh LOCK [--compile-bytecode]
set -eu
lock=$1
shift
if [ -s /run/secrets/network ]; then . /run/secrets/network; fi
if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi
export VIRTUAL_ENV=/opt/venv UV_LINK_MODE=copy UV_CACHE_DIR=/tmp/cache
if [ -n "$(find /tmp/wheels -name '*.whl' | head -n 1)" ]; then set -- "$@" --no-index --find-links /tmp/wheels; fi
touch /tmp/before
/tmp/uv/uv pip install -q --require-hashes --no-deps "$@" -r "$lock"
case " $* " in *" --compile-bytecode "*) rm /tmp/before; exit ;; esac
find /opt/venv -newer /tmp/before -name '*.py' ! -path '*/lib2to3/tests/*' >/tmp/new
python -m compileall -q --invalidation-mode unchecked-hash -i /tmp/new || [ $? -eq 1 ] # templates are no Python
rm -f /tmp/new
find / -xdev -newer /tmp/before ! -path '/tmp/*' ! -path '/proc/*' ! -path '/sys/*' -exec touch -hcd "@$SOURCE_DATE_EPOCH" {} +
rm /tmp/before && touch -d "@$SOURCE_DATE_EPOCH" /tmp
