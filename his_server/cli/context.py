"""What commands need of the running house: settings, database, hospital; told in Chinese what is missing."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from his_server import settings as settings_module
from his_server.db import Database
from his_server.registry import Hospital, load
from his_server.settings import Settings, SettingsError
from his_server.startup import StartRefused, check_program


@dataclass(frozen=True)
class House:
    """Settings with the database and the loaded modules behind them."""

    settings: Settings

    @cached_property
    def hospital(self) -> Hospital:
        """The part of the hospital that this process serves."""
        return load(self.settings.modules, self.settings.interfaces)

    @cached_property
    def everything(self) -> Hospital:
        """All that is installed."""
        return load()

    @cached_property
    def database(self) -> Database:
        """The database with its key ring; accounts' anchors are kept in ``data_dir``."""
        from his_server.app import open_database
        from his_server.security import anchor

        become_owner(self.settings.data_dir)
        try:
            database = open_database(self.settings)
        except StartRefused as error:
            raise click.ClickException(str(error)) from error
        anchor.place(database, self.settings.data_dir)
        return database

    def check_program(self) -> None:
        """Compare the program with its signed manifest before serving. :raises click.ClickException: it was altered."""
        try:
            check_program(self.settings, self.database.sealer)
        except StartRefused as error:
            raise click.ClickException(str(error)) from error


def become_owner(folder: Path) -> None:
    """Where root calls us, go on as the owner of the data folder (made where there is none) for good: what we write stays
    readable to the services."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    owner = folder.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    account = pwd.getpwuid(owner.st_uid)
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.environ["HOME"] = account.pw_dir


def house(**overrides: Any) -> House:
    """The house of HIS_CONFIG and the environment. :raises click.ClickException: a setting is wrong."""
    try:
        return House(settings_module.load(**overrides))
    except SettingsError as error:
        raise click.ClickException(f"设置有误：{error}") from error
