"""The commands as a plugin of the `openstack` client: `openstack provisioning …` (the extra `openstack`).

The client loads the commands of the entry point group `openstack.provisioning.v1`, which are those of `provjournal`.
What they act on a cloud with is what the client was told: `--os-cloud`, or the environment.
"""

import argparse
from typing import Any, Final

from journal.command_line import add_journal_option

API_NAME: Final = "provisioning"
API_VERSION_OPTION: Final = "os_provisioning_api_version"
DEFAULT_API_VERSION: Final = "1"
API_VERSIONS: Final = {"1": "journal.openstack_client"}


def make_client(instance: Any) -> None:
    """Return nothing: the journal is no service of the cloud. `instance` is the client's manager of clients."""


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the journal to the client's own options."""
    add_journal_option(parser, dest="app_journal", flag="--provisioning-journal")
    return parser
