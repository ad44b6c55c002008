"""Waits for conductors that die every few seconds, on a real Nova under load."""

from journal.settings import Settings

SETTINGS = Settings(api_timeout_seconds=8, lease_seconds=4, settle_seconds=1, poll_seconds=0.3, delete_timeout_seconds=60)
