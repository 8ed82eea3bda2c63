"""Sign-in, sessions, permissions, three administrators, audit (DESIGN section 8)."""

from __future__ import annotations

from datetime import timedelta

from his_server.module import Check, Job, MenuItem, Module, Permission
from his_server.security import (
    admin_routes,
    grants,
    routes,
    sealing,
    seals,
    sessions,
    signature_routes,
    syslog,
)
from his_server.security import models as models
from his_server.security import settings as security_settings
from his_server.security import signatures as signatures
from his_server.security import signed as signed
from his_server.security.accounts import create_user
from his_server.security.grants import bootstrap
from his_server.security.sessions import Security
from his_server.security.settings import SecuritySettings

SECTION = "系统管理"

module = Module(
    name="security",
    title="系统管理",
    routes=(routes.routes, admin_routes.accounts_routes, admin_routes.audit_routes, signature_routes.routes),
    permissions=(
        Permission("security.accounts", "账户管理（建立、停用、解锁、重置密码）", ("sysadmin",)),
        Permission("security.read_accounts", "查看账户", ("sysadmin", "secadmin")),
        Permission("security.grants", "角色与授权、第二因素登记", ("secadmin",)),
        Permission("security.crypto", "查看密码模块与密钥状态", ("secadmin",)),
        Permission("audit.read", "查看审计记录", ("auditadmin",)),
    ),
    settings=SecuritySettings,
    ports={syslog.PORT: lambda settings, _database: security_settings.of(settings).syslog or None},
    menu=(
        MenuItem(SECTION, "账户管理", "/security/users", "platform/security/users", "security.accounts", 90),
        MenuItem(SECTION, "授权管理", "/security/grants", "platform/security/grants", "security.grants", 91),
        MenuItem(SECTION, "角色权限", "/security/roles", "platform/security/roles", "security.grants", 92),
        MenuItem(SECTION, "密码模块", "/security/crypto", "platform/security/crypto", "security.crypto", 93),
        MenuItem(SECTION, "审计记录", "/security/audit", "platform/security/audit", "audit.read", 94),
    ),
    jobs=(
        Job("security.purge", "清理过期会话", sessions.purge, every=timedelta(minutes=10)),
        Job("security.seal", "封存审计记录", sealing.seal_due, every=timedelta(seconds=5)),
        Job("security.syslog", "审计记录送日志服务器", syslog.run, every=timedelta(seconds=10)),
        Job("security.verify", "校验审计记录", seals.verify_daily, at="03:30"),
    ),
    checks=(
        Check("audit_chain", "审计记录与封存链一致", seals.verify),
        Check("grants_integrity", "账户、角色、授权未被改动", grants.verify),
    ),
)

__all__ = ["Security", "bootstrap", "create_user", "module"]
