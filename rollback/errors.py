"""Every error of the rollback package, as a tree.

RollbackError
├── CloudError             the cloud did not do, or did not say, what was asked
│   └── CloudRefused       it certainly did not do it
├── UnknownCloud           no cloud of this name is configured
├── WrongCloud             this is not the cloud, region and project that the stream belongs to
├── UnsuitableCloud        the cloud is too old, or its clock is off
├── ChoiceRefused          what a person chose does not fit the plan
├── NotAdoptable           a server cannot be adopted
├── NotEmpty               a delete operation left servers
├── NotResumable           an operation cannot be carried forward, only rolled back
└── RecordError            the conductor's own record of a cluster cannot be asked or told
"""

from collections.abc import Sequence

from journal.steps import Refused


class RollbackError(Exception):
    """Base of everything that this package raises on purpose."""


class CloudError(RollbackError):
    """The cloud did not do, or did not say, what was asked. Whether anything happened is unknown."""


class CloudRefused(CloudError, Refused):
    """The cloud refused: what was asked for did not happen. A step whose body raises it has failed."""


class UnknownCloud(RollbackError):
    """No cloud of this name is configured."""


class WrongCloud(RollbackError):
    """The cloud is not the one, with region and project, that the stream belongs to."""


class UnsuitableCloud(RollbackError):
    """The cloud cannot be used for this: it is too old, or its clock is off."""


class ChoiceRefused(RollbackError):
    """What a person chose for a compensation does not fit its plan. Nothing was changed."""

    def __init__(self, cluster: str, why: str, rows: Sequence[str] = ()) -> None:
        self.summary = f"Cluster {cluster!r}: {why}. Nothing was changed."
        super().__init__("\n  ".join((self.summary, *rows)))
        self.cluster = cluster
        self.rows = tuple(rows)


class NotAdoptable(RollbackError):
    """A server, or any, cannot be adopted by a cluster. Nothing was changed."""

    def __init__(self, cluster: str, server_id: str | None, why: str) -> None:
        what = "" if server_id is None else f"server {server_id} cannot be adopted: "
        super().__init__(f"Cluster {cluster!r}: {what}{why}. Nothing was changed.")
        self.cluster = cluster


class NotEmpty(RollbackError):
    """The body of a delete operation came to its end, but servers of the cluster are left."""

    def __init__(self, cluster: str, left: Sequence[str]) -> None:
        super().__init__(f"the delete of {cluster!r} left {', '.join(left)}")


class NotResumable(RollbackError):
    """The operation of a cluster cannot be carried forward; a rollback can still be made."""

    def __init__(self, cluster: str, reason: str) -> None:
        super().__init__(f"Cluster {cluster!r} cannot be resumed: {reason}.")
        self.cluster = cluster
        self.reason = reason


class RecordError(RollbackError):
    """The conductor's own record of a cluster cannot be asked or told."""
