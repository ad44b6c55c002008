"""Nobody finds a secret in the journal's file, in an export or in a log, however it was smuggled in."""

import base64
import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.command_line import main
from journal.events import ClusterStatus, OperationKind
from journal.journal import Journal
from journal.redaction import REDACTED, redacted_text, redacted_value
from journal.sql.engine import parsed
from journal.sql.store import open_store
from rollback.handler import Handler
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud

SECRET = "s3cr3t-Zx9"  # noqa: S105 (what is searched for)
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----"


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


TEXTS = {
    "name and value": f"login failed, password={SECRET}",
    "colon": f"Password: {SECRET}",
    "a header": f"X-Auth-Token: {SECRET}",
    "bearer": f"Authorization: Bearer {SECRET}",
    "basic without a header's name": f"sent 'basic {SECRET}'",
    "a URL": f"cannot reach mysql://nova:{SECRET}@db/nova",
    "a password with @ and : in a URL": f"amqp://rpc:{SECRET}@x:{SECRET}@mq:5672//",
    "a query": f"GET /v3?user=a&access_token={SECRET}&x=1",
    "JSON": f'400: {{"server": {{"adminPass": "{SECRET}", "name": "w1"}}}}',
    "JSON cut off": f'400: {{"server": {{"name": "w1", "adminPass": "{SECRET}',
    "JSON in JSON": json.dumps({"body": json.dumps({"adminPass": SECRET})}),
    "Python": f"{{'auth_token': '{SECRET}', 'id': 7}}",
    "a secret with blanks": f'secret = "{SECRET} and {SECRET}"',
    "a key": PEM,
    "a key cut off": PEM[:-20],
    "base64": f"user data was {base64_of(f'#cloud-config password: {SECRET}')}",
    "base64 of a URL": base64_of(f"postgresql://u:{SECRET}@h/d"),
    "base64 in base64": base64_of(f"see {base64_of(f'password: {SECRET}')}"),
    "base64 without padding": base64_of(f"x password={SECRET}").rstrip("="),
    "base64 for URLs": base64.urlsafe_b64encode(f"\u00bf\u00be password={SECRET}".encode()).decode(),
}
REQUESTS: dict[str, Any] = {
    "a field": {"password": SECRET},
    "nested": {"groups": [{"name": "w", "servers": [{"config": {"adminPass": SECRET}}]}]},
    "user data": {"user_data": base64_of(f"#!/bin/sh\necho {SECRET}")},
    "a secret that is no text": {"credentials": {"user": "u", "what": [SECRET]}},
    **{f"a text: {name}": {"note": [text]} for name, text in TEXTS.items()},
    "dashes and capitals": {"X-Service-Token": SECRET, "apiKey": SECRET, "SSH_PRIVATE_KEY": SECRET, "dbPasswd": SECRET},
}


class Record:
    """A conductor's record of a cluster."""

    def __init__(self) -> None:
        self.said = ""

    def exists(self) -> bool:
        return True

    def set_status(self, status: ClusterStatus, reason: str, version: int) -> None:
        self.said += f"{status} {reason} as of {version}"


def assert_hidden(where: str) -> None:
    """Nothing there is the secret, nor base64 of it."""
    assert SECRET not in where
    for piece in re.findall(r"[A-Za-z0-9+/_-]{12,}", where):
        plain = piece.replace("-", "+").replace("_", "/")
        assert SECRET.encode() not in base64.b64decode(plain[: len(plain) // 4 * 4])


@pytest.mark.parametrize("asked", REQUESTS.values(), ids=REQUESTS.keys())
def test_no_secret_of_a_request_or_an_error_reaches_file_export_record_or_log(
    asked: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    clock, record = SimulatedClock(datetime.now(UTC)), Record()
    url = f"sqlite:///{tmp_path}/journal.db"
    journal, cloud = Journal(open_store(url, upgrade=True), clock=clock), SimulatedCloud(clock)
    text = json.dumps(asked)
    handler = Handler(journal, cloud, lambda _: record)
    with caplog.at_level(logging.DEBUG), handler.operation("c-1", OperationKind.CREATE, request=asked) as op:
        with op.create_server("worker", "w1") as step:
            step.created(cloud.create_server(step))
        with op.configure(["vm-1"]):
            raise ValueError(text) from RuntimeError(text)
    journal.store.close()
    assert main(["journal", "export", "--journal", url]) == 0
    export = capfd.readouterr().out
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir()).decode(errors="replace")
    assert export.count(REDACTED) >= 4, "in the request, the step, the error and the end"
    assert "create operation failed" in caplog.text
    for where in (export, stored, caplog.text, record.said):
        assert_hidden(where)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_what_was_redacted_stays_as_it_is(text: str) -> None:
    once = redacted_text(text)
    assert_hidden(once)
    assert redacted_text(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "HTTP 403: Quota exceeded for instances: Requested 1, but already used 10 of 10 instances",
        "server f1d4c1c0-9a4e-4d4b-8b6c-3f1f8a0f6a55 is not ACTIVE after 300 s",
        "KeyError: 'worker'",
        "keypair key_name=ops public_key=ssh-rsa",
        "http://controller:8774/v2.1/servers/detail?tags=a%2Cb: connection refused",
        "TimeoutError: https://nova.example.org:8774 did not answer",
        f"sha256 {'ab12' * 16}",
        "the bypass_valve=open of compass=north",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert redacted_text(text) == text


secrets = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=9, max_size=30).map("Zq7".__add__)
names = st.sampled_from(["password", "adminPass", "auth-token", "user_data", "privateKey", "OS_PASSWORD", "client_secret"])


@given(secret=secrets, name=names, data=st.data())
def test_a_secret_is_found_at_any_depth(secret: str, name: str, data: st.DataObject) -> None:
    value: Any = {name: data.draw(st.sampled_from([secret, [secret], {"a": secret}]))}
    for wrap in data.draw(st.lists(st.sampled_from([lambda v: [v], lambda v: {"inner": v}, json.dumps]), max_size=3)):
        value = wrap(value)
    assert secret not in json.dumps(redacted_value(value))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://j:sec1@sec2@host/db",
        "postgresql://j:sec1@sec2/sec3@host/db",
        "postgresql://j:sec1@sec2?sec3@host/db",
        "postgresql://j:sec1@sec2:sec3@host:5432/db",
        "mysql+pymysql://j:sec1@sec2@host:3306/db",
        "mariadb://j/k:sec1@host/sec2",
        "nope://j:sec1@sec2@host/db",
    ],
)
def test_a_url_whose_password_has_an_unescaped_at_is_refused_unseen(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--journal", url, "cluster", "list"]) == 2
    said = capfd.readouterr().err
    assert [part for part in ("sec1", "sec2", "sec3") if part in said] == []
    assert "escape @" in said


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://j:sec1%40sec2@host/db",
        "postgresql://j@corp:sec1@host/db",
        "postgresql://host/db",
        "postgresql://j:sec1@host/db?application_name=a%40b",
    ],
)
def test_a_url_that_can_be_read_is_read(url: str) -> None:
    assert parsed(url).host == "host"


def test_a_path_may_have_an_at() -> None:
    assert parsed("sqlite:////tmp/a@b:c@d/journal.db").database == "/tmp/a@b:c@d/journal.db"  # noqa: S108 (nothing is written)
