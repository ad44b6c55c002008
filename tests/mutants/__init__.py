"""Bugs made by a machine, one at a time, in the modules that decide: each must be found by a test. `make mutants` makes all."""
