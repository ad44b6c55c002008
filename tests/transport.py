"""The real openstacksdk in front of services that answer from a table: no server and no socket."""

import json
import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

import attrs
import requests
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from openstack.connection import Connection

PROJECT = "5f0c" * 8
DATE = "Mon, 23 Nov 2026 10:00:00 GMT"
URLS = {
    "compute": "http://nova/v2.1",
    "network": "http://neutron",
    "block-storage": "http://cinder/v3",
    "identity": "http://keystone/v3",
}

Answer = dict[str, Any] | tuple[int, Any]


@attrs.define
class Services(requests.adapters.BaseAdapter):
    """What stands behind the SDK. The last route added that fits answers; what is `down` cannot be reached."""

    down: set[str] = attrs.field(factory=set)
    dates: dict[str, str] = attrs.field(factory=dict)
    """What services say that the time is, where it is another than `DATE`."""
    asked: list[str] = attrs.field(factory=list)
    routes: list[tuple[str, Callable[[requests.PreparedRequest], Answer]]] = attrs.field(factory=list)

    def on(self, pattern: str, answer: Answer | Callable[[requests.PreparedRequest], Answer]) -> None:
        """Answer requests whose method and URL fit a pattern; with a tuple, by this HTTP code."""
        self.routes.insert(0, (pattern, answer if callable(answer) else lambda _: answer))

    def close(self) -> None:
        """Nothing is open."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        asked = f"{request.method} {request.url}"
        self.asked.append(asked)
        host = asked.split("/")[2]
        if host in self.down:
            raise requests.exceptions.ConnectionError(f"refused: {asked}")
        answer = next(answer(request) for pattern, answer in self.routes if re.search(pattern, asked))
        code, body = answer if isinstance(answer, tuple) else (200, answer)
        response = requests.Response()
        response.status_code, response.request, response.url = code, request, request.url or ""
        response.headers.update({"Content-Type": "application/json", "Date": self.dates.get(host, DATE), "X-Subject-Token": "t"})
        response.raw = BytesIO(b"" if body is None else json.dumps(body).encode())
        return response


def services(urls: dict[str, str] = URLS) -> tuple[Services, Connection]:
    """Return services that have nothing, and a connection to them."""
    found = Services()
    endpoints = {
        kind: [{"id": kind, "interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": url}]
        for kind, url in urls.items()
    }
    token = {
        "methods": ["password"],
        "expires_at": "2099-01-01T00:00:00.000000Z",
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "user": {"id": "u", "name": "u", "domain": {"id": "d", "name": "d"}},
        "project": {"id": PROJECT, "name": "p", "domain": {"id": "d", "name": "d"}},
        "catalog": [{"type": kind, "name": kind, "id": kind, "endpoints": each} for kind, each in endpoints.items()],
    }
    found.on(r"POST http://keystone/v3/auth/tokens", {"token": token})
    found.on(r"GET http://keystone/v3/?$", {"version": _version("v3.14", URLS["identity"])})
    found.on(r"GET http://nova/v2.1/?$", {"version": _version("v2.1", URLS["compute"], "2.96", "2.1")})
    found.on(r"GET http://nova/v2.1/servers\b", {"servers": []})
    found.on(r"GET http://nova/v2.1/servers/[0-9a-z-]+$", (404, {}))
    found.on(r"GET http://nova/v2.1/servers/detail", {"servers": []})
    found.on(r"GET http://nova/v2.1/os-server-groups", {"server_groups": []})
    found.on(r"GET http://nova/v2.1/os-availability-zone", {"availabilityZoneInfo": [{"zoneName": "nova"}]})
    found.on(r"GET http://cinder(/v3)?/?$", {"versions": [_version("v3.0", URLS["block-storage"], "3.71", "3.0")]})
    found.on(r"GET http://cinder/v3/volumes", {"volumes": []})
    found.on(r"GET http://neutron/?$", {"versions": [_version("v2.0", "http://neutron/v2.0/")]})
    for kind in ("ports", "floatingips", "security-groups"):
        found.on(rf"GET http://neutron/v2.0/{kind}", {kind.replace("-", "_"): []})
    http = requests.Session()
    http.trust_env = False
    http.mount("http://", found)
    login = v3.Password(URLS["identity"], username="u", password="p", user_domain_id="d", project_id=PROJECT)  # noqa: S106
    return found, Connection(session=Session(auth=login, session=http), region_name="RegionOne")


def _version(id_: str, url: str, newest: str = "", oldest: str = "") -> dict[str, Any]:
    return {"id": id_, "status": "CURRENT", "version": newest, "min_version": oldest, "links": [{"rel": "self", "href": url}]}
