"""A mechanism driver of ML2 that binds every port on every host at once, and fails on request.

The description of a port, or of its network, may ask for a fault:

inject=nobind            the port cannot be bound: a server with it goes to ERROR
inject=port_create_fail  the create is answered with 500, and nothing is left
inject=port_slow:SECS    the port is there, but the answer comes after SECS seconds
inject=port_delete_fail  the first delete is answered with 500 and the port stays, the second one works
"""

import time
from typing import Any

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api

from local_cloud import faults


class InjectedError(Exception):
    """What a client asked for."""


def fault(context: Any) -> faults.Fault:
    """Return the fault that a port asks for, or else its network."""
    return faults.in_text(" ".join(of.current.get("description") or "" for of in (context, context.network)))


class FaultDriver(api.MechanismDriver):
    """A network without agents, in which every port is ACTIVE as soon as it is bound."""

    def initialize(self) -> None:
        """Start without a failed delete."""
        self.failed: set[str] = set()

    @property
    def connectivity(self) -> str:
        """Say what ports are connected by; the plugin lists it."""
        connectivity: str = portbindings.CONNECTIVITY_L2
        return connectivity

    def create_port_postcommit(self, context: Any) -> None:
        """Fail, or answer late; the port is in the database, and the plugin deletes it again after a failure."""
        kind, seconds = fault(context)
        if kind == "port_create_fail":
            raise InjectedError
        if kind == "port_slow":
            time.sleep(seconds)

    def delete_port_precommit(self, context: Any) -> None:
        """Fail once for each port."""
        port_id = context.current["id"]
        if fault(context).kind == "port_delete_fail" and port_id not in self.failed:
            self.failed.add(port_id)
            raise InjectedError

    def bind_port(self, context: Any) -> None:
        """Bind a port, or leave it unbound."""
        if fault(context).kind != "nobind":
            segment = context.segments_to_bind[0][api.ID]
            details = {portbindings.CAP_PORT_FILTER: True, portbindings.OVS_HYBRID_PLUG: False}
            context.set_binding(segment, portbindings.VIF_TYPE_OVS, details, status=constants.PORT_STATUS_ACTIVE)
