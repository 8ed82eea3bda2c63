#!/bin/sh
# After unpacking. dpkg gives "configure" and, on an upgrade, the old version; rpm gives 1 or 2. Never enables a service by
# itself. On an upgrade of a running hospital it migrates (expand only) and hands over without closing the socket.
set -e
upgrade=
case "$1" in
    configure) [ -n "$2" ] && upgrade=1 ;;
    2) upgrade=1 ;;
    abort-*) exit 0 ;;
esac
[ -d /run/systemd/system ] && systemctl daemon-reload || true
if [ -n "$upgrade" ]; then
    if [ ! -e /var/lib/his-server/update-by-hand ]; then
        his-server update --installed || {
            echo "his-server：新版本没有接管，原进程继续服务。请看上面的原因，处理后执行 his-server update --installed" >&2
            exit 1
        }
    fi
else
    echo "his-server 已安装。下一步：his-server setup（设置数据库、证书、管理员和密钥），然后 systemctl enable --now his-server.target"
fi
exit 0
