#!/bin/sh
# Runs the product with its own Python: isolated from the environment's Python variables and from the current folder.
here=$(dirname "$(readlink -f "$0")")
python=$here/../python/bin/python@PYTHON@
[ -z "$HIS_CONFIG" ] && [ -r /etc/his-server/his-server.toml ] && export HIS_CONFIG=/etc/his-server/his-server.toml
export TZ="${TZ:-Asia/Shanghai}" LC_ALL=C.UTF-8
umask 077
exec "$python" -I -B -X utf8 -m his_server "$@"
