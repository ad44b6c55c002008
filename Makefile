PYTHON ?= python3
VENV := .venv
CLOUD_VENV := .venv-cloud
PIP_FLAGS := --quiet --disable-pip-version-check

.PHONY: help demo test docs durability soak faults size simulate mutants bench growth lint cloud clean

help:
	@echo "make demo        see the point: a conductor is killed on a real Nova, and everything is cleaned up"
	@echo "make test        run every check that must pass"
	@echo "make docs        the documentation as a site, in build/docs"
	@echo "make durability  the faults of make test, hundreds of times, and kills at every point (about half an hour)"
	@echo "make soak        conductors killed and stopped at random on a real Nova, on every engine (about an hour)"
	@echo "make faults      every fault of the network at every call to a real Nova, Neutron and Cinder (about an hour)"
	@echo "make simulate    100,000 schedules of a simulated world, from a random seed: SCHEDULES=… SEED=… (about ten minutes)"
	@echo "make mutants     small bugs by the thousand in what decides: a test must find each (about half an hour)"
	@echo "make size        a thousand servers on a real Nova, rolled back with every request counted (about half an hour)"
	@echo "make bench       this library, its peers and the raw driver side by side, as ratios: BENCH=… (about half an hour)"
	@echo "make growth      how cost grows with history, as plots in docs/benchmarks (about half an hour)"
	@echo "make lint        ruff, mypy, import contracts"
	@echo "make cloud       run the local cloud until Ctrl-C"
	@echo "make clean       remove the environments and the local cloud's state"

demo: $(VENV)/ready
	@if [ -z "$(DEMO_CLOUD)" ]; then $(MAKE) --no-print-directory $(CLOUD_VENV)/ready; fi
	@$(VENV)/bin/python -m examples.demo $(if $(DEMO_CLOUD),--cloud "$(DEMO_CLOUD)" --image "$(DEMO_IMAGE)" --flavor "$(DEMO_FLAVOR)" --network "$(DEMO_NETWORK)")

test: lint $(CLOUD_VENV)/ready
	@tests/servers/install.sh
	$(VENV)/bin/python -m pytest --numprocesses 2 $(PYTEST_FLAGS)

docs: $(VENV)/ready
	$(VENV)/bin/sphinx-build --quiet --fail-on-warning --keep-going docs build/docs
	@echo "build/docs/index.html"

durability: $(VENV)/ready $(CLOUD_VENV)/ready
	@tests/servers/install.sh
	PROVJOURNAL_POINTS=1000 PROVJOURNAL_CUTS=400 PROVJOURNAL_KILLS=30 PROVJOURNAL_KILLED_WRITERS=100 PROVJOURNAL_RACES=1000 $(VENV)/bin/python -m pytest $(PYTEST_FLAGS) \
		tests/faults/test_cut_commits.py tests/faults/test_power_loss.py tests/faults/test_killed_servers.py tests/faults/test_killed_writers.py \
		tests/faults/test_ownership_races.py tests/faults/test_kill_everywhere.py

soak: $(VENV)/ready $(CLOUD_VENV)/ready
	@tests/servers/install.sh
	PYTHONPATH=.:tests $(VENV)/bin/python -m soak $(SOAK)

faults: $(VENV)/ready $(CLOUD_VENV)/ready
	PYTHONPATH=.:tests $(VENV)/bin/python -m hostile $(FAULTS)

simulate: $(VENV)/ready
	PYTHONPATH=.:tests $(VENV)/bin/python -m simulate $(if $(SCHEDULES),--schedules $(SCHEDULES)) $(if $(SEED),--seed $(SEED))

mutants: $(VENV)/mutants
	PYTHONPATH=.:tests $(VENV)/bin/python -m mutants $(MUTANTS)

size: $(VENV)/ready $(CLOUD_VENV)/ready
	PYTHONPATH=.:tests $(VENV)/bin/python -m size $(SIZE)

bench: $(VENV)/ready
	@tests/servers/install.sh
	PYTHONPATH=.:tests $(VENV)/bin/python -m benchmarks $(BENCH)

growth: $(VENV)/ready
	@tests/servers/install.sh
	@$(VENV)/bin/pip install $(PIP_FLAGS) --constraint constraints.txt --group bench
	PYTHONPATH=.:tests $(VENV)/bin/python -m benchmarks --peers none --growth $(GROWTH)

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

cloud: $(CLOUD_VENV)/ready
	$(CLOUD_VENV)/bin/python -W ignore -m local_cloud run --state .cloud

$(VENV)/ready: pyproject.toml constraints.txt
	@echo "making $(VENV) (less than a minute, once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install $(PIP_FLAGS) --constraint constraints.txt --upgrade "pip>=25.1" setuptools
	@PYTHONWARNINGS="ignore:Editable installation" $(VENV)/bin/pip install $(PIP_FLAGS) --constraint constraints.txt --group test --group lint --group docs --editable ".[mariadb,metrics,openstack,postgresql,tracing]"
	@touch $@

$(VENV)/mutants: $(VENV)/ready
	@$(VENV)/bin/pip install $(PIP_FLAGS) --constraint constraints.txt --group mutants
	@touch $@

$(CLOUD_VENV)/ready: local_cloud/requirements.txt local_cloud/constraints.txt
	@echo "making $(CLOUD_VENV) with keystone, placement, nova, neutron and cinder (about a minute, once)"
	@$(PYTHON) -m venv $(CLOUD_VENV)
	@$(CLOUD_VENV)/bin/pip install $(PIP_FLAGS) --constraint local_cloud/constraints.txt --requirement local_cloud/requirements.txt
	@touch $@

clean:
	rm -rf $(VENV) $(CLOUD_VENV) .venv-bench .cloud build/docs
