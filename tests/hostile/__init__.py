"""A hostile network between openstacksdk and a real Nova: every fault at every call. `make faults` runs all of it."""
