"""How fast this library is beside its peers and beside the driver alone: `make bench`."""
