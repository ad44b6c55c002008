"""Many servers of one cluster on a real Nova, rolled back with every request counted. `make size` does it with a thousand."""
