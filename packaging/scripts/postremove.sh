#!/bin/sh
# Data, keys and settings stay: they are the hospital's. dpkg's purge removes settings that hold no data; nothing ever removes
# /var/lib/his-server (rpm has no purge; see docs/operations/install.md for taking data away by hand).
set -e
case "$1" in
    remove|0|purge)
        rm -rf /var/cache/his-server /run/his-server ;;
esac
case "$1" in
    purge)
        rm -rf /etc/his-server
        [ -d /var/lib/his-server ] && echo "数据和密钥仍在 /var/lib/his-server，确认不再需要后由管理员自行删除" ;;
esac
[ -d /run/systemd/system ] && systemctl daemon-reload || true
exit 0
