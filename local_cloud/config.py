"""The configuration files of one cloud, written anew at every start."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from local_cloud.serve import url
from local_cloud.settings import Settings

PASSWORD = "secret"  # of a cloud on loopback that holds nothing
REGION = "RegionOne"
PORTS = ("keystone", "placement", "compute", "image", "network")
FULL_PORTS = (*PORTS, "volume")
CLOUDS = ("admin", "demo", "demo2")
"""Name of a cloud in clouds.yaml, of its user and of its project; the last two are plain members."""
RPC_THREADS = 6

POLICY = """\
[oslo_policy]
policy_file = {state}/policy.json
"""
"""An empty one: for a file that is not there all folders are searched at each request."""

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
max_concurrent_builds = 8
reclaim_instance_interval = {reclaim}
vif_plugging_is_fatal = false
vif_plugging_timeout = 0
periodic_fuzzy_delay = 0
report_interval = 60
service_down_time = 600
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
{policy}
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
[neutron]
endpoint_override = {network}
http_retries = 0
"""

NOVA_SMALL = f"""\
{NOVA}
auth_type = admin_token
endpoint = {{network}}
token = admin
"""

NOVA_FULL = f"""\
{NOVA}
{{credentials}}
[cinder]
catalog_info = block-storage::internal
os_region_name = {{region}}
{{credentials}}
"""

# A filter that neutron does not know is refused, tags may be given when a port is created, and every project's networks are of
# the one kind that needs no agent.
NEUTRON = """\
[DEFAULT]
log_file = {state}/neutron.log
state_path = {state}
host = neutron0
transport_url = fake:///
core_plugin = ml2
service_plugins = router,tag,revisions,timestamp
api_paste_config = {prefix}/etc/neutron/api-paste.ini
dhcp_agent_notification = false
send_events_interval = 1
rpc_response_timeout = 5
[database]
connection = sqlite:///{state}/neutron.db
[ml2]
type_drivers = local
project_network_types = local
mechanism_drivers = local_cloud
extension_drivers = port_security,tag_ports_during_bulk_creation
[quotas]
default_quota = -1
quota_network = -1
quota_subnet = -1
quota_port = -1
quota_router = -1
quota_floatingip = -1
quota_security_group = -1
quota_security_group_rule = -1
[oslo_concurrency]
lock_path = {state}/locks
[oslo_messaging_notifications]
driver = noop
{policy}
[nova]
region_name = {region}
{credentials}
[keystone_authtoken]
www_authenticate_uri = {keystone}/v3
service_token_roles_required = true
{credentials}
"""

# The volume service counts as alive without ever reporting: it lives in the process of the API.
CINDER = """\
[DEFAULT]
log_file = {state}/cinder.log
state_path = {state}
host = cinder0
my_ip = 127.0.0.1
transport_url = fake:///
api_paste_config = {prefix}/etc/cinder/api-paste.ini
resource_query_filters_file = {prefix}/etc/cinder/resource_filters.json
enabled_backends = local_cloud
default_volume_type = __DEFAULT__
service_down_time = 86400000
report_interval = 3600
periodic_interval = 3600
periodic_fuzzy_delay = 0
rpc_response_timeout = 60
executor_thread_pool_size = {rpc_threads}
glance_api_servers = {image}
scheduler_default_filters = CapacityFilter
quota_volumes = -1
quota_snapshots = -1
quota_gigabytes = -1
[local_cloud]
volume_driver = local_cloud.cinder_driver.FaultDriver
volume_backend_name = local_cloud
[database]
connection = sqlite:///{state}/cinder.db
[coordination]
backend_url = file://{state}/locks
[oslo_concurrency]
lock_path = {state}/locks
[oslo_messaging_notifications]
driver = noop
{policy}
[nova]
interface = internal
{credentials}
[keystone_authtoken]
www_authenticate_uri = {keystone}/v3
service_token_roles_required = true
{credentials}
"""


def catalog(ports: Mapping[str, int]) -> dict[str, str]:
    """Return the addresses that clients find in keystone's catalog, which itself comes from its bootstrap."""
    addresses = {
        "compute": f"{url(ports['compute'])}/v2.1",
        "placement": url(ports["placement"]),
        "image": url(ports["image"]),
        "network": url(ports["network"]),
    }
    return addresses if "volume" not in ports else {**addresses, "block-storage": f"{url(ports['volume'])}/v3/%(project_id)s"}


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


def templates(settings: Settings) -> dict[str, str]:
    """Return the configuration of each service by its name."""
    if settings.full:
        return {"keystone": KEYSTONE, "placement": PLACEMENT, "nova": NOVA_FULL, "neutron": NEUTRON, "cinder": CINDER}
    return {"keystone": KEYSTONE, "placement": PLACEMENT, "nova": NOVA_SMALL}


def write(state: Path, ports: Mapping[str, int], settings: Settings) -> None:
    """Write what the services and the clients read."""
    addresses = {name: url(port) for name, port in ports.items()}
    values = {
        "state": state,
        "prefix": sys.prefix,
        "hosts": settings.hosts,
        "reclaim": settings.reclaim,
        "region": REGION,
        "rpc_threads": RPC_THREADS,
        "credentials": CREDENTIALS.format(password=PASSWORD, **addresses),
        "policy": POLICY.format(state=state),
        **addresses,
    }
    for name, template in templates(settings).items():
        (state / f"{name}.conf").write_text(template.format(**values))
    (state / "policy.json").write_text("{}\n")
    (state / "clouds.yaml").write_text(clouds(ports))
