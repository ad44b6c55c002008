"""A real OpenStack on loopback for this project's demo and tests: keystone, placement and nova, if wanted neutron and cinder."""
