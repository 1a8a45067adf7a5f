"""How the server runs: what Welcome announces, and what the operator sets. Chapter 10 of the specification."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

DAY_MS = 86_400_000
VERSION = 1000  # 1.0: major x 1000 + minor

LIMITS = {
    "frame_bytes_max": 1 << 20,
    "body_bytes_max": 64 << 10,
    "page_entries_max": 100,
    "page_bytes_max": 256 << 10,
    "sync_conversations_max": 100,
    "preview_bytes_max": 1 << 10,
    "send_window": 32,
    "receive_window": 64,
    "query_ids_max": 100,
    "ack_batch_max": 32,
}
TIMERS = {
    "heartbeat_ms": 25_000,
    "send_timeout_ms": 10_000,
    "send_retry_ms_min": 200,
    "send_retry_ms_base": 1_000,
    "send_retry_ms_max": 30_000,
    "reconnect_ms_min": 500,
    "reconnect_ms_base": 500,
    "reconnect_ms_max": 20_000,
    "healthy_ms": 10_000,
    "ack_delay_ms_max": 500,
    "gap_grace_ms": 500,
    "audit_ms": 300_000,
    "stalled_ms": 60_000,
    "token_grace_ms": 30_000,
}
# The settings file's other keys, by their names here.
OTHERS = {
    "dedupWindowMs": "dedup_window_ms",
    "authDeadlineMs": "auth_deadline_ms",
    "closeAfterMs": "close_after_ms",
    "sendsPerSecond": "sends_per_second",
    "sendsBurst": "sends_burst",
    "sessionsPerUserMax": "sessions_per_user_max",
    "versionMin": "version_min",
    "versionMax": "version_max",
}


class SettingsError(Exception):
    """Settings with which a server would not conform, or that cannot be read."""


@dataclass
class Settings:
    """Everything is in the units of its name."""

    limits: dict[str, int] = field(default_factory=lambda: dict(LIMITS))
    timers: dict[str, int] = field(default_factory=lambda: dict(TIMERS))
    dedup_window_ms: int = 30 * DAY_MS  # what is announced; nothing is ever forgotten (DEDUP-12)
    auth_deadline_ms: int = 5_000
    close_after_ms: int = 5_000
    sends_per_second: int = 0  # of one user; 0 is any number
    sends_burst: int = 0
    sessions_per_user_max: int = 0  # 0 is any number
    version_min: int = VERSION
    version_max: int = VERSION
    new_epoch: bool = False

    def check(self) -> None:
        """Raises SettingsError where Welcome would announce what no server may."""
        limits = self.limits
        if limits["frame_bytes_max"] < limits["page_bytes_max"] + 4096:
            raise SettingsError("frameBytesMax has to be pageBytesMax + 4096 or more (LIM-1)")
        if limits["page_bytes_max"] < limits["body_bytes_max"] + 4096:
            raise SettingsError("pageBytesMax has to be bodyBytesMax + 4096 or more (LIM-1)")
        for name, value in limits.items():
            least = 0 if name == "receive_window" else 1
            if not least <= value < 1 << 32:
                raise SettingsError(f"the limit {name} has to be {least} to 2^32-1 and is {value} (CONN-10)")
        for name, value in self.timers.items():
            if not 1 <= value <= DAY_MS:
                raise SettingsError(f"the timer {name} has to be 1 to {DAY_MS} ms and is {value} (CONN-15)")
        if not self.version_min <= self.version_max:
            raise SettingsError("versionMin is above versionMax")


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def _number(path: str, name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise SettingsError(f"{path}: {name} has to be a whole number from 0 on, and is {value!r}")
    return value


def read_settings(path: str | None) -> Settings:
    """Settings from a JSON file (conformance/schema/settings.schema.json); what is not there is the default."""
    settings = Settings()
    if path is not None:
        try:
            given = json.loads(Path(path).read_text())
        except (OSError, ValueError) as error:
            raise SettingsError(f"the settings in {path} cannot be read: {error}") from None
        if not isinstance(given, dict):
            raise SettingsError(f"{path}: the settings have to be one object")
        for key, value in given.items():
            if key in ("limits", "timers"):
                known = settings.limits if key == "limits" else settings.timers
                if not isinstance(value, dict):
                    raise SettingsError(f"{path}: {key} has to be an object")
                for name, number in value.items():
                    if _snake(name) not in known:
                        raise SettingsError(f"{path}: there is nothing called {name} in {key}")
                    known[_snake(name)] = _number(path, name, number)
            elif key == "newEpoch":
                settings.new_epoch = value is True
            elif key in OTHERS:
                _number(path, key, value)
                setattr(settings, OTHERS[key], value)
            else:
                raise SettingsError(f"{path}: there is no setting {key}")
    settings.check()
    return settings
