"""One journal for several projects and regions, as a plain member, whose token ends on the way, and whose clocks may be off."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import attrs
import openstack
import pytest
from bench import Bench
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from faults_settings import SETTINGS
from hostile.proxy import HostileProxy

from journal.events import OperationKind, ResourceKind
from rollback import OpenStackCloud, preview, rollback_cluster
from rollback.errors import UnsuitableCloud, WrongCloud

CLOUDS = ("demo", "demo2", "demo-two")


@pytest.fixture(scope="module")
def admin(nova: dict[str, Any]) -> Iterator[Any]:
    with openstack.connect(cloud="admin") as connection:
        yield connection


@pytest.fixture
def clouds(nova: dict[str, Any], admin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Beside the clouds that there are, `demo-two`: a second region, whose addresses are those of the first."""
    identity = admin.identity
    region = identity.create_region(id="RegionTwo")
    compute = next(service for service in identity.services() if service.type == "compute")
    endpoints = [
        identity.create_endpoint(service_id=compute.id, interface=there.interface, region_id=region.id, url=there.url)
        for there in list(identity.endpoints(service_id=compute.id))
    ]
    known = json.loads(Path(nova["clouds_yaml"]).read_text())
    known["clouds"]["demo-two"] = {**known["clouds"]["demo"], "region_name": region.id}
    (tmp_path / "clouds.yaml").write_text(json.dumps(known))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    yield
    for endpoint in endpoints:
        identity.delete_endpoint(endpoint)
    identity.delete_region(region)


def test_each_cloud_of_one_journal_is_recovered_on_its_own_and_no_other_is_listed_for_it(
    clouds: None, nova: dict[str, Any], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        benches = {name: Bench(nova, tmp_path, name) for name in CLOUDS}
        for bench in benches.values():
            stack.enter_context(closing(bench.cloud.connection))
        servers = {name: set(bench.active(f"of-{name}", 1)) for name, bench in benches.items()}
        names = {name: bench.cloud.name for name, bench in benches.items()}
        assert len(set(names.values())) == 3
        assert names["demo-two"] == names["demo"].replace("RegionOne", "RegionTwo")

        def there() -> dict[str, bool]:
            return {name: benches[name].cloud.get(server) is not None for name in CLOUDS for server in servers[name]}

        bench = benches["demo"]
        with HostileProxy(nova["ports"]["compute"]) as proxy:
            proxy.counts = True
            for other in ("demo2", "demo-two"):
                code, rows, said = bench.run("rollback", f"of-{other}", http_proxy=proxy.url, no_proxy="")
                assert (code, rows) == (2, [])
                assert f"lives in {names[other]}, but this is {names['demo']}" in said
                with pytest.raises(WrongCloud):
                    preview(bench.journal, bench.cloud, f"of-{other}")
            assert proxy.calls
            assert not [call for call in proxy.calls if "servers" in call]
        gone: list[str] = []
        for name in CLOUDS:
            code, rows, _ = benches[name].run("recover")
            assert (code, [(row["Cluster"], row["Deleted"]) for row in rows]) == (0, [(f"of-{name}", 1)])
            gone.append(name)
            assert there() == {other: other not in gone for other in CLOUDS}


def test_a_plain_member_is_enough(admin: Any) -> None:
    """What every test here shows that uses the cloud `demo`, as long as this is so."""
    user = admin.identity.find_user("demo")
    roles = {role.id: role.name for role in admin.identity.roles()}
    assigned = list(admin.identity.role_assignments(user_id=user.id))
    assert [roles[assignment.role["id"]] for assignment in assigned] == ["member"]


@pytest.fixture
def proxied(nova: dict[str, Any], tmp_path: Path) -> Iterator[tuple[Bench, HostileProxy]]:
    """A bench whose cloud is reached through a proxy that counts."""
    bench = Bench(nova, tmp_path)
    with HostileProxy(nova["ports"]["compute"]) as proxy, closing(bench.cloud.connection):
        bench.cloud.connection.session.session.proxies = {"http": proxy.url}
        yield bench, proxy


def test_a_token_that_ends_in_the_middle_of_a_compensation_is_renewed(proxied: tuple[Bench, HostileProxy], admin: Any) -> None:
    bench, proxy = proxied
    servers = bench.active("token-1", 3)
    session = bench.cloud.connection.session
    revoked: list[str] = []

    def revoke(line: str) -> None:
        """Once, give the session a token that has ended. Nova must not have seen it: it trusts what it saw for a while."""
        if line.startswith("deleting") and not revoked:
            session.invalidate()
            revoked.append(session.get_token())
            answer = admin.identity.delete("/auth/tokens", headers={"X-Subject-Token": revoked[0]})
            assert answer.status_code == 204
            proxy.counts = True

    bench.journal.settings = SETTINGS
    report = rollback_cluster(bench.journal, bench.cloud, "token-1", progress=revoke)
    assert (report.complete, set(report.deleted)) == (True, set(servers))
    assert proxy.answers[401] >= 1
    assert session.get_token() not in revoked
    assert not set(servers) & bench.left


def test_nothing_is_listed_where_the_clouds_clock_is_more_than_half_a_minute_off(
    proxied: tuple[Bench, HostileProxy],
) -> None:
    bench, proxy = proxied
    (server,) = bench.active("clock-1", 1)
    proxy.counts = True
    for proxy.skew_seconds in (-33, 33):
        with pytest.raises(UnsuitableCloud, match="The clocks are more than 30 seconds apart"):
            rollback_cluster(bench.journal, bench.cloud, "clock-1")
    assert proxy.calls == ["GET /v2.1/servers?limit=1"] * 2
    assert bench.cloud.is_active(server)
    proxy.skew_seconds = 25
    assert rollback_cluster(bench.journal, bench.cloud, "clock-1").deleted == (server,)


@pytest.fixture
def colleague(nova: dict[str, Any], admin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenStackCloud]:
    """The project of `demo`, as another of its members sees it."""
    identity = admin.identity
    who, where = identity.find_user("demo2"), identity.find_project("demo")
    member = next(role for role in identity.roles() if role.name == "member")
    identity.assign_project_role_to_user(where, who, member)
    known = json.loads(Path(nova["clouds_yaml"]).read_text())
    auth = {**known["clouds"]["demo2"]["auth"], "project_name": "demo"}
    known["clouds"]["colleague"] = {**known["clouds"]["demo2"], "auth": auth}
    (tmp_path / "clouds.yaml").write_text(json.dumps(known))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    cloud = OpenStackCloud.connect("colleague", SETTINGS)
    with closing(cloud.connection):
        yield cloud
    identity.unassign_project_role_from_user(where, who, member)


def test_a_keypair_of_another_member_of_the_project_is_neither_called_gone_nor_absent(
    nova: dict[str, Any], colleague: OpenStackCloud, tmp_path: Path
) -> None:
    bench = Bench(nova, tmp_path)
    with closing(bench.cloud.connection):
        assert (colleague.name, colleague.user_id != bench.cloud.user_id) == (bench.cloud.name, True)
        bench.journal.settings = attrs.evolve(SETTINGS, api_timeout_seconds=2)
        op = bench.journal.begin("keys-1", OperationKind.CREATE, bench.cloud.name)
        steps = [op.create_resource(ResourceKind.KEYPAIR, name, user=bench.cloud.user_id) for name in ("known", "lost")]
        key = Ed25519PrivateKey.generate().public_key()
        public = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
        known = steps[0].run(lambda step: step.created(bench.cloud.create_resource(step, public_key=public))).resource_id
        lost = bench.cloud.create_resource(steps[1].__enter__(), public_key=public)
        op.release()
        report = rollback_cluster(bench.journal, colleague, "keys-1")
        assert len(report.problems) == 2
        assert all(f"user {bench.cloud.user_id}" in problem for problem in report.problems)
        assert not rollback_cluster(bench.journal, colleague, "keys-1").changed
        report = rollback_cluster(bench.journal, bench.cloud, "keys-1")
        assert (report.complete, set(report.deleted)) == (True, {known, lost})
        assert not list(bench.cloud.list_kind(ResourceKind.KEYPAIR))
