"""What the SDK's errors and the HTTP codes in them mean: a certain refusal, or an outcome that nobody knows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from keystoneauth1 import exceptions as keystone
from openstack import exceptions as sdk

from rollback.errors import CloudError, CloudRefused

_REFUSED: Final = frozenset({400, 401, 403, 404, 409, 413, 422, 429})
"""HTTP codes that say that nothing was done. A create's marks are looked for all the same: not even 400 is proof."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn the SDK's and keystoneauth's errors into ours."""
    try:
        yield
    except sdk.HttpException as error:
        code = getattr(error, "status_code", None)
        kind = CloudRefused if code in _REFUSED else CloudError
        msg = f"{doing}: HTTP {code}: {error.details or error.message}"
        raise kind(msg) from error
    except (sdk.SDKException, keystone.ClientException) as error:
        msg = f"{doing}: {error}"
        raise CloudError(msg) from error


@contextmanager
def understood(doing: str) -> Iterator[None]:
    """Turn what reading an answer raises that has not the form it should have into CloudError."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        msg = f"{doing}: the cloud's answer cannot be read: {error!r}"
        raise CloudError(msg) from error
