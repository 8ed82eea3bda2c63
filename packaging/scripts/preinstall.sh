#!/bin/sh
# Before unpacking: the account that owns the data. dpkg gives install|upgrade, rpm gives 1 (install) or 2 (upgrade).
set -e
getent group his >/dev/null 2>&1 || groupadd --system his
getent passwd his >/dev/null 2>&1 || useradd --system --gid his --home-dir /var/lib/his-server --no-create-home \
    --shell /usr/sbin/nologin --comment "Hospital information server" his
case "$1" in
    upgrade|2)
        # Pages that are open still ask for the previous release's files: keep those beside (served as a fall-back).
        old=/opt/his-server/app/his_server/web/dist/assets
        if [ -d "$old" ]; then
            rm -rf /var/cache/his-server/assets
            mkdir -p /var/cache/his-server
            cp -a "$old" /var/cache/his-server/assets
        fi ;;
esac
exit 0
