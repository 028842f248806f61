"""Addresses of database servers, whose passwords are neither shown nor kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from attn_nas.errors import UsageError

VARIABLE = "ATTN_NAS_STORAGE"
"""The environment variable with the address, and password, of the server on which the command line begins new runs."""
_EXAMPLE = "write postgresql://USER@HOST/DATABASE"
_DRIVERS = ("psycopg", "psycopg2")
"""Packages of which one is needed, the better first."""
_SECRET = ("password", "passwd", "secret", "token")
_PORT = 5432
_given: dict[tuple[object, ...], ServerAddress] = {}
"""Addresses with secrets that this process was given, by the database they lead to."""


@dataclass(frozen=True, repr=False)
class ServerAddress:
    """A database on a PostgreSQL server, perhaps with the password to it."""

    url: URL

    @classmethod
    def parse(cls, text: str) -> ServerAddress:
        """From a URL such as ``postgresql://user@host:5432/database``; raises UsageError, which does not quote it.

        Its secrets are remembered, for addresses of the same database that come without.
        """
        try:
            url = make_url(text.replace("postgres://", "postgresql://", 1) if text.startswith("postgres://") else text)
            backend = url.get_backend_name()
        except (ArgumentError, ValueError):
            raise UsageError(f"the storage is no address of a database: {_EXAMPLE}") from None
        if backend == "sqlite":
            raise UsageError(f"the storage is an SQLite file, which every run has without --storage; for a server {_EXAMPLE}")
        if backend != "postgresql":
            raise UsageError(f"the storage {backend} is not known, only PostgreSQL is: {_EXAMPLE}")
        if not url.database:
            raise UsageError(f"the storage {_without_secrets(url)} names no database: {_EXAMPLE}")
        address = cls(url)
        if _without_secrets(url) != url:
            _given[address.leads_to] = address
        return address

    def __str__(self) -> str:
        """The URL as it may be shown and kept, without secrets."""
        return _without_secrets(self.url).render_as_string(hide_password=False)

    __repr__ = __str__

    @property
    def leads_to(self) -> tuple[object, ...]:
        """What two addresses of one database have in common."""
        return (self.url.username, self.url.host, self.url.port or _PORT, self.url.database)

    def with_secrets(self) -> ServerAddress:
        """With those that this process was given for the database, or the environment variable has; else as it is."""
        if _without_secrets(self.url) != self.url:
            return self
        if given := os.environ.get(VARIABLE):
            try:
                ServerAddress.parse(given)
            except UsageError:
                return self
        return _given.get(self.leads_to, self)

    def masked(self, text: str) -> str:
        """``text`` without the secrets of this address."""
        for secret in (self.url.password, *(self.url.query[name] for name in _secrets_in(self.url))):
            text = text.replace(str(secret), "***") if secret else text
        return text

    @property
    def to_connect(self) -> URL:
        """The URL with a driver that is installed; raises UsageError."""
        _, _, named = self.url.drivername.partition("+")
        found = next((driver for driver in _DRIVERS if named in ("", driver) and find_spec(driver)), None)
        if found is None:
            raise UsageError(f'the storage {self} needs a driver: pip install "attn-nas[postgresql]"')
        return self.url.set(drivername=f"postgresql+{found}")


def _secrets_in(url: URL) -> list[str]:
    return [name for name in url.query if any(word in name.lower() for word in _SECRET)]


def _without_secrets(url: URL) -> URL:
    return url._replace(password=None).difference_update_query(_secrets_in(url))
