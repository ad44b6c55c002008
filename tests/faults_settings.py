"""Waits that are short enough for tests on a real Nova, and long enough for it under load."""

from journal.settings import Settings

SETTINGS = Settings(api_timeout_seconds=8, lease_seconds=9, settle_seconds=1, poll_seconds=0.3)
