"""Who there is, and who may write to whom. The operator's file is conformance/schema/accounts.schema.json."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from .store import Store


class AccountsError(Exception):
    """An accounts file that cannot be used."""


@dataclass(frozen=True)
class Login:
    """Whom a token lets in, and until when by the server's clock; None: for ever."""

    user: str
    expires_at_ms: int | None


class People:
    """Users, tokens, blocks. Tokens that this server made, and who was revoked, outlive it in the store."""

    def __init__(self, path: str, store: Store) -> None:
        self._store = store
        try:
            given = json.loads(Path(path).read_text())
            self._tokens = {user["token"]: user["id"] for user in given["users"] if "token" in user}
            self._users = {user["id"] for user in given["users"]}
            self._blocked = {frozenset(pair) for pair in given.get("blocked", [])}
            self._groups = [
                (group["id"], group["members"], int(group.get("firstSeq", "1"))) for group in given.get("groups", [])
            ]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise AccountsError(f"the accounts in {path} cannot be read: {error!r}") from None

    def make_groups(self) -> None:
        """The file's groups, where they are not there yet: members may have come and gone since."""
        for group, members, first_seq in self._groups:
            if self._store.group(group) is None:
                self._store.make_group(group, members, first_seq)

    def known(self, user: str) -> bool:
        return user in self._users

    def blocked(self, one: str, other: str) -> bool:
        """Whether the operator lets neither write to the other (SEC-4)."""
        return frozenset((one, other)) in self._blocked

    def login(self, token: str, now_ms: int) -> Login | None:
        """Whom a token lets in; None says nothing about why not (AUTH-1)."""
        user = self._tokens.get(token)
        login = Login(user, None) if user is not None else self._made(token)
        if login is None or self._store.is_revoked(login.user):
            return None
        if login.expires_at_ms is not None and login.expires_at_ms <= now_ms:
            return None
        return login

    def make_token(self, user: str, expires_at_ms: int) -> str:
        token = secrets.token_urlsafe(24)
        self._store.keep_token(_digest(token), user, expires_at_ms)
        return token

    def _made(self, token: str) -> Login | None:
        row = self._store.token(_digest(token))
        return None if row is None else Login(*row)


def _digest(token: str) -> bytes:
    # Only its digest is kept: a copy of the store lets nobody in.
    return hashlib.sha256(token.encode()).digest()
