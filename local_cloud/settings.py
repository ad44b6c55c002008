"""What kind of cloud to run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What the command line chooses."""

    hosts: int
    full: bool
    """With neutron and cinder."""
    respawn: float | None
    """Seconds after which a dead neutron or cinder is started again; without them its death is the cloud's."""
    reclaim: int
    """Seconds that a deleted server can be restored."""

    @property
    def shape(self) -> dict[str, object]:
        """What a prepared directory cannot change any more; the rest may differ from start to start."""
        return {"hosts": self.hosts, "full": self.full}
