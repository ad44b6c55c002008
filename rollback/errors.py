"""Every error of the rollback package, as a tree.

RollbackError
├── CloudError             the cloud did not do, or did not say, what was asked
│   └── CloudRefused       it certainly did not do it
├── WrongCloud             this is not the cloud, region and project that the stream belongs to
├── UnsuitableCloud        the cloud is too old, or its clock is off
└── RollbackIncomplete     something is left to do; the operation stays open for the next attempt
"""


class RollbackError(Exception):
    """Base of everything that this package raises on purpose."""


class CloudError(RollbackError):
    """The cloud did not do, or did not say, what was asked. Whether anything happened is unknown."""


class CloudRefused(CloudError):
    """The cloud refused: what was asked for did not happen."""


class WrongCloud(RollbackError):
    """The cloud is not the one, region and project that the stream belongs to."""


class UnsuitableCloud(RollbackError):
    """The cloud cannot be used for this: it is too old, or its clock is off."""


class RollbackIncomplete(RollbackError):
    """Something is left to do; the operation stays open for the next attempt."""
