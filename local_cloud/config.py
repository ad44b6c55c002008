"""The configuration files of one cloud, written anew at every start."""

import json
from collections.abc import Mapping
from pathlib import Path

from local_cloud.serve import url

PASSWORD = "secret"  # of a cloud on loopback that holds nothing
REGION = "RegionOne"
SERVICES = ("keystone", "placement", "compute", "image", "network")
CLOUDS = ("admin", "demo", "demo2")
"""Name of a cloud in clouds.yaml, of its user and of its project; the last two are plain members."""
RPC_THREADS = 6

CREDENTIALS = """\
auth_type = password
auth_url = {keystone}/v3
username = nova
password = {password}
project_name = service
user_domain_id = default
project_domain_id = default
"""

KEYSTONE = """\
[DEFAULT]
log_file = {state}/keystone.log
[database]
connection = sqlite:///{state}/keystone.db
[token]
provider = fernet
expiration = 86400
[fernet_tokens]
key_repository = {state}/fernet-keys
[credential]
key_repository = {state}/credential-keys
[cache]
enabled = true
backend = dogpile.cache.memory
[identity]
password_hash_algorithm = bcrypt
password_hash_rounds = 4
max_password_length = 72
[oslo_policy]
enforce_scope = false
"""

PLACEMENT = """\
[api]
auth_strategy = noauth2
[placement_database]
connection = sqlite:///{state}/placement.db
"""

# Nova has no way without keystone any more; placement has, and nova reaches it with a token that is just a word.
# Validating every response, filtering and weighing cost CPU and show nothing here. One host is picked at random among all,
# or 50 creates at once would all try the same one. Old projects' quotas do not exist: everything is unlimited.
NOVA = """\
[DEFAULT]
log_file = {state}/nova.log
default_log_levels = neutronclient=ERROR,stevedore=CRITICAL,keystonemiddleware=ERROR,sqlalchemy=WARN,keystoneauth=WARN
state_path = {state}
host = fake0
my_ip = 127.0.0.1
transport_url = fake:///
compute_driver = fake.FaultDriver
executor_thread_pool_size = {rpc_threads}
rpc_response_timeout = 120
sync_power_state_interval = -1
update_resources_interval = 3600
reclaim_instance_interval = {reclaim}
max_concurrent_builds = 8
vif_plugging_is_fatal = false
vif_plugging_timeout = 0
periodic_fuzzy_delay = 0
[api_database]
connection = sqlite:///{state}/nova_api.db
[database]
connection = sqlite:///{state}/nova_cell1.db
[api]
response_validation = ignore
[oslo_concurrency]
lock_path = {state}/locks
[quota]
instances = -1
cores = -1
ram = -1
metadata_items = -1
key_pairs = -1
server_groups = -1
server_group_members = -1
[keystone_authtoken]
www_authenticate_uri = {keystone}/v3
service_token_roles_required = true
{credentials}
[placement]
auth_type = admin_token
endpoint = {placement}
endpoint_override = {placement}
token = admin
[glance]
endpoint_override = {image}
num_retries = 0
[neutron]
auth_type = admin_token
endpoint = {network}
endpoint_override = {network}
token = admin
http_retries = 0
[filter_scheduler]
enabled_filters = ComputeFilter
host_subset_size = {hosts}
track_instance_changes = false
[scheduler]
discover_hosts_in_cells_interval = -1
max_attempts = 1
[compute]
resource_provider_association_refresh = 0
[oslo_messaging_notifications]
driver = noop
[service_user]
send_service_user_token = true
{credentials}
"""


def catalog(ports: Mapping[str, int]) -> dict[str, str]:
    """Return the addresses that clients find in keystone's catalog, which itself comes from its bootstrap."""
    return {
        "compute": f"{url(ports['compute'])}/v2.1",
        "placement": url(ports["placement"]),
        "image": url(ports["image"]),
        "network": url(ports["network"]),
    }


def clouds(ports: Mapping[str, int]) -> str:
    """Return clouds.yaml; JSON is YAML, too."""
    return json.dumps(
        {
            "clouds": {
                name: {
                    "auth": {
                        "auth_url": f"{url(ports['keystone'])}/v3",
                        "username": name,
                        "password": PASSWORD,
                        "project_name": name,
                        "user_domain_id": "default",
                        "project_domain_id": "default",
                    },
                    "region_name": REGION,
                    "identity_api_version": 3,
                }
                for name in CLOUDS
            }
        },
        indent=1,
    )


def write(state: Path, ports: Mapping[str, int], hosts: int, reclaim: int) -> None:
    """Write what the services and the clients read."""
    addresses = {name: url(port) for name, port in ports.items()}
    credentials = CREDENTIALS.format(password=PASSWORD, **addresses)
    numbers = {"hosts": hosts, "reclaim": reclaim, "rpc_threads": RPC_THREADS}
    values = {"state": state, "credentials": credentials, **numbers, **addresses}
    for name, template in (("keystone", KEYSTONE), ("placement", PLACEMENT), ("nova", NOVA)):
        (state / f"{name}.conf").write_text(template.format(**values))
    (state / "clouds.yaml").write_text(clouds(ports))
