#!/bin/sh
# dpkg gives remove|upgrade, rpm gives 0 (remove) or 1 (upgrade). Services stop only when the product goes.
set -e
case "$1" in
    remove|0)
        if [ -d /run/systemd/system ]; then
            systemctl stop his-server.target his-web.service his-worker.service 2>/dev/null || true
            for unit in $(systemctl list-units --plain --no-legend --all 'his-module@*' 2>/dev/null | cut -d' ' -f1); do
                systemctl stop "$unit" || true
            done
            systemctl disable his-server.target his-web.service his-worker.service 2>/dev/null || true
            for link in /etc/systemd/system/his-server.target.wants/his-module@*; do
                [ -e "$link" ] || [ -L "$link" ] || continue
                systemctl disable "$(basename "$link")" 2>/dev/null || rm -f "$link"
            done
        fi ;;
esac
exit 0
