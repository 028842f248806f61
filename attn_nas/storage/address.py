"""Addresses of database servers; their passwords are neither shown nor stored."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from attn_nas.errors import UsageError

VARIABLE = "ATTN_NAS_STORAGE"
"""Environment variable with the address, perhaps with a password, of the server on which the command line begins new runs."""
_EXAMPLE = "write postgresql://USER@HOST/DATABASE"
_DRIVERS = ("psycopg", "psycopg2")
"""Driver packages, of which one must be installed; the first one found is used."""
_SECRET = ("password", "passwd", "secret", "token")
_PORT = 5432
_given: dict[tuple[object, ...], ServerAddress] = {}
"""Addresses with secrets that this process has parsed, by their database."""


@dataclass(frozen=True, repr=False)
class ServerAddress:
    """A database on a PostgreSQL server, perhaps with its password."""

    url: URL

    @classmethod
    def parse(cls, text: str) -> ServerAddress:
        """The address in a URL such as ``postgresql://user@host:5432/database``; its secrets are remembered in this process.

        Raises:
            UsageError: it is not a URL of a PostgreSQL database; the message does not quote the URL.

        """
        try:
            url = make_url(text.replace("postgres://", "postgresql://", 1) if text.startswith("postgres://") else text)
            backend = url.get_backend_name()
        except (ArgumentError, ValueError):
            raise UsageError(f"the storage is no address of a database: {_EXAMPLE}") from None
        if backend == "sqlite":
            raise UsageError(f"the storage is an SQLite file, which every run has by itself; for a server {_EXAMPLE}")
        if backend != "postgresql":
            raise UsageError(f"the storage {backend} is not known, only PostgreSQL is: {_EXAMPLE}")
        if not url.database:
            raise UsageError(f"the storage {_without_secrets(url)} names no database: {_EXAMPLE}")
        address = cls(url)
        if _without_secrets(url) != url:
            _given[address.database_key] = address
        return address

    def __str__(self) -> str:
        """The URL without secrets, which may be shown and stored."""
        return _without_secrets(self.url).render_as_string(hide_password=False)

    __repr__ = __str__

    @property
    def database_key(self) -> tuple[object, ...]:
        """Identity of the database: user, host, port and name."""
        return (self.url.username, self.url.host, self.url.port or _PORT, self.url.database)

    def with_secrets(self) -> ServerAddress:
        """The address with the secrets that this process or the environment variable has for its database, if any."""
        if _without_secrets(self.url) != self.url:
            return self
        if given := os.environ.get(VARIABLE):
            try:
                ServerAddress.parse(given)
            except UsageError:
                return self
        return _given.get(self.database_key, self)

    def masked(self, text: str) -> str:
        """``text`` with asterisks in the place of this address's secrets."""
        for secret in (self.url.password, *(self.url.query[name] for name in _secrets_in(self.url))):
            text = text.replace(str(secret), "***") if secret else text
        return text

    @property
    def driver_url(self) -> URL:
        """The URL with the name of an installed driver; raises UsageError if there is none."""
        _, _, named = self.url.drivername.partition("+")
        found = next((driver for driver in _DRIVERS if named in ("", driver) and find_spec(driver)), None)
        if found is None:
            raise UsageError(f'the storage {self} needs a driver: pip install "attn-nas[postgresql]"')
        return self.url.set(drivername=f"postgresql+{found}")


def _secrets_in(url: URL) -> list[str]:
    return [name for name in url.query if any(word in name.lower() for word in _SECRET)]


def _without_secrets(url: URL) -> URL:
    return url._replace(password=None).difference_update_query(_secrets_in(url))
