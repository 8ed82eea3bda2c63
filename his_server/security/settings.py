"""Settings of the security module: ``[module.security]``."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from his_server.security.archive import check_days
from his_server.security.syslog import check_target
from his_server.settings import Settings, SettingsError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class SecuritySettings:
    """``audit_days``: how long audit rows stay in the database, at least 180 (DB-18).
    ``admin_networks``: from where the three administrators may work, as CIDR; empty = anywhere (DB-20).
    ``syslog``: where the worker sends the audit trail, ``tcp://host:port`` (DB-31); empty = nowhere."""

    audit_days: int = 365
    admin_networks: list[str] = field(default_factory=list)
    syslog: str = ""

    def __post_init__(self) -> None:
        check_days(self.audit_days)
        self.networks()
        try:
            check_target(self.syslog)
        except ValueError as error:
            raise SettingsError(str(error)) from error

    def networks(self) -> list[Network]:
        """The parsed networks. :raises SettingsError: not CIDR."""
        try:
            return [ipaddress.ip_network(text) for text in self.admin_networks]
        except ValueError as error:
            raise SettingsError(f"admin_networks: {error}") from error


def of(settings: Settings) -> SecuritySettings:
    """The module's settings. :raises SettingsError: unknown or wrong."""
    try:
        return SecuritySettings(**settings.extra.get("security", {}))
    except TypeError as error:
        raise SettingsError(f"[module.security]: {error}") from error


def inside(networks: list[Network], ip: str) -> bool:
    """Whether the address is in one of the networks; anything is in none at all."""
    if not networks:
        return True
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address.version == network.version and address in network for network in networks)
