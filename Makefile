# Everything a newcomer needs is `make demo`. The work is done by exemplar-lab and pytest; here stands only what calls them.
PYTHON ?= python3
VENV ?= .venv
NOTEBOOK_PROFILE ?= cpu
NOTEBOOK ?= notebooks/*.ipynb
ARGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev

# One line that rewrites itself on a terminal; in a log, only the last word. Errors go to stderr and are seen in full.
INSTALL := set -o pipefail; $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
QUIETLY := awk -v tty="$$([ -t 2 ] && echo 1)" 'tty { printf "\r\033[K%.79s", $$0; fflush() } END { if (tty) printf "\r\033[K" }'

SHELL := /bin/bash
.PHONY: help demo test test-browser lab lint notebooks figures constraints clean

help:
	@echo "make demo       install, train CoCosNet on made people, measure it, apply it to photographs"
	@echo "make test       install and run all tests; make test ARGS='-k grid' runs some"
	@echo "make test-browser   the explorer, the panels and every notebook in JupyterLab and a real Chromium, where one is installed"
	@echo "make lab        install and open the notebooks in JupyterLab"
	@echo "make figures    execute all notebooks, into runs/notebooks (NOTEBOOK_PROFILE=gpu for the long ones)"
	@echo "make notebooks  execute all at smoke, in place, pictures made small (or one: NOTEBOOK=notebooks/10_cocosnet.ipynb)"
	@echo "make lint       check style"
	@echo "make clean      remove the virtual environment and build leftovers; runs/ stays"
	@echo "Another Python: make demo PYTHON=python3.12"

demo: $(READY)
	@$(BIN)/exemplar-lab demo $(ARGS)

# Two workers with one thread each; a file, and so a notebook, stays on one worker.
test: $(READY)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

# JupyterLab on this machine, a Chromium without a window. Notebooks differ much in length: who is done takes from the other.
test-browser: $(READY)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser -m browser -n 2 --dist worksteal $(ARGS)

lab: $(READY)
	@$(BIN)/jupyter lab --notebook-dir=. notebooks $(ARGS)

figures: $(READY)
	@set -e; for notebook in notebooks/*.ipynb; do $(BIN)/exemplar-lab run "$$notebook" -p profile=$(NOTEBOOK_PROFILE) -p figures=../figures; done

notebooks: $(READY)
	@OMP_NUM_THREADS=1 $(BIN)/exemplar-lab renew $(NOTEBOOK) $(ARGS)

lint: $(READY_DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "exemplar-lab needs Python 3.11 or newer, and $(PYTHON) is " \
		+ sys.version.split()[0] + ". Name another one: make $(MAKECMDGOALS) PYTHON=python3.12")'
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@echo "Installing exemplar-lab into $(VENV): about a minute on a fast line, once"
	@$(INSTALL) -e ".[test]" | $(QUIETLY)
	@touch $@

$(READY_DEV): $(READY)
	@$(INSTALL) -e ".[test,dev]" | $(QUIETLY)
	@touch $@

# Newest versions of everything, then the tests decide. The torch of the file is kept; write another number there to move it.
constraints:
	@set -eo pipefail; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	torch=$$(grep '^torch==' constraints.txt); $(PYTHON) -m venv "$$fresh"; \
	"$$fresh/bin/python" -m pip install --disable-pip-version-check -q -e ".[test,dev]" "$$torch"; \
	"$$fresh/bin/python" -m pip freeze --exclude-editable | sed 's/+.*//' > "$$fresh/versions"; \
	sed '/^[^#]/d' constraints.txt | cat - "$$fresh/versions" > "$$fresh/new"; cp "$$fresh/new" constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
