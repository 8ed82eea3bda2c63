"""Who acts: a signed-in person, a partner system or the system itself."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Actor:
    """The acting identity that every service function receives.

    ``user_id`` is the account, ``staff_id`` the person behind it. ``channel`` is ``window``, ``kiosk``,
    ``app``, ``system`` …
    """

    user_id: int
    login: str
    name: str
    staff_id: int | None = None
    department_id: int | None = None
    roles: tuple[str, ...] = ()
    permissions: frozenset[str] = frozenset()
    channel: str = "window"
    ip: str = ""
    terminal: str = ""
    session_id: int | None = None
    trace_id: str = ""
    scopes: dict[str, frozenset[int]] = field(default_factory=dict, hash=False, compare=False)
    """Department ids to which a permission is restricted; absent = everywhere."""

    def can(self, permission: str) -> bool:
        """Whether the actor holds the permission."""
        return permission in self.permissions


SYSTEM = Actor(user_id=0, login="system", name="系统", channel="system", permissions=frozenset())
