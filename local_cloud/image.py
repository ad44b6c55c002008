"""A stand-in for glance: one image, as much of the API as nova and a client ask for."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from local_cloud.serve import Application

IMAGE_ID = "11111111-1111-4111-8111-111111111111"
IMAGE = {
    "id": IMAGE_ID,
    "name": "img",
    "status": "active",
    "visibility": "public",
    "protected": False,
    "disk_format": "raw",
    "container_format": "bare",
    "min_disk": 0,
    "min_ram": 0,
    "size": 1024,
    "virtual_size": 1024,
    "checksum": "d41d8cd98f00b204e9800998ecf8427e",
    "owner": "admin",
    "tags": [],
    "os_hidden": False,
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "self": f"/v2/images/{IMAGE_ID}",
    "file": f"/v2/images/{IMAGE_ID}/file",
    "schema": "/v2/schemas/image",
}
SCHEMA = {"name": "image", "properties": dict.fromkeys(IMAGE, {}), "additionalProperties": {"type": "string"}}


def application(base: str) -> Application:
    """Return the image service at this address."""
    versions = {"versions": [{"id": "v2.9", "status": "CURRENT", "links": [{"rel": "self", "href": f"{base}/v2/"}]}]}
    answers: dict[str, tuple[str, dict[str, Any]]] = {
        "": ("300 Multiple Choices", versions),
        "/versions": ("300 Multiple Choices", versions),
        "/v2": ("300 Multiple Choices", versions),
        "/v2/schemas/image": ("200 OK", SCHEMA),
        "/v2/images": ("200 OK", {"images": [IMAGE], "first": "/v2/images", "schema": "/v2/schemas/images"}),
        f"/v2/images/{IMAGE_ID}": ("200 OK", IMAGE),
    }

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        status, body = answers.get(environ["PATH_INFO"].rstrip("/"), ("404 Not Found", {}))
        data = json.dumps(body).encode()
        start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
        return [data]

    return answer
