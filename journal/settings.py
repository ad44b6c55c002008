"""Every default, in one place."""

import attrs

from journal.value import Value


@attrs.frozen(eq=False, repr=False)
class Settings(Value):
    """How long things may take, in seconds."""

    api_timeout_seconds: float = 60.0
    """How long a request can be on its way: an intent's `deadline` is now plus this."""
    lease_seconds: float = 120.0
    """How long the owner of a stream is believed alive after it last appended or renewed."""
    renew_seconds: float = 30.0
    """How often a running operation renews its lease."""
    settle_seconds: float = 30.0
    """How far apart the two listings must be that prove a resource absent."""
    poll_seconds: float = 1.0
    """How often the cloud is asked while something is waited for."""
    delete_timeout_seconds: float = 300.0
    """How long a delete may take until it is reported as stuck; of many, since the last that came to an end."""
    deletes_at_once: int = 10
    """How many resources a compensation deletes at the same time; a hold stops those that have not been asked for."""
    delete_attempts: int = 3
    """How often a resource is deleted in one compensation before it is reported as not deleted."""

    @property
    def heartbeat_seconds(self) -> float:
        """How often a lease is renewed: as set, and at least four times in its length."""
        return min(self.renew_seconds, self.lease_seconds / 4)
