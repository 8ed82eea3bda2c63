"""Sign-in, sessions, permissions, three administrators, audit (DESIGN section 8)."""

from __future__ import annotations

from datetime import timedelta

from his_server.module import Job, MenuItem, Module, Permission
from his_server.security import models as models
from his_server.security import routes, sessions
from his_server.security.accounts import create_user
from his_server.security.grants import bootstrap
from his_server.security.sessions import Security

SECTION = "系统管理"

module = Module(
    name="security",
    title="系统管理",
    routes=(routes.routes,),
    permissions=(
        Permission("security.accounts", "账户管理（建立、停用、解锁、重置密码）", ("sysadmin",)),
        Permission("security.read_accounts", "查看账户", ("sysadmin", "secadmin")),
        Permission("security.grants", "角色与授权、第二因素登记", ("secadmin",)),
        Permission("audit.read", "查看审计记录", ("auditadmin",)),
    ),
    menu=(
        MenuItem(SECTION, "账户管理", "/security/users", "platform/security/users", "security.accounts", 90),
        MenuItem(SECTION, "授权管理", "/security/grants", "platform/security/grants", "security.grants", 91),
        MenuItem(SECTION, "角色权限", "/security/roles", "platform/security/roles", "security.grants", 92),
        MenuItem(SECTION, "审计记录", "/security/audit", "platform/security/audit", "audit.read", 93),
    ),
    jobs=(
        Job("security.purge", "清理过期会话", sessions.purge, every=timedelta(minutes=10)),
    ),
)

__all__ = ["Security", "bootstrap", "create_user", "module"]
