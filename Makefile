# make serve   the pages in Voila, for you     make serve-class   for a room: everybody on the network
# make test    everything that is checked
# make lab     the notebooks in JupyterLab    make bench  the figures of the README
# Needs Python 3.11 or newer. FLAGS are handed on: make lab FLAGS=--allow-root

PYTHON ?= python3
NOTEBOOKS ?= notebooks
FLAGS ?=
LISTEN ?= 0.0.0.0
# Where the torch line of the lock, and nothing else, is also looked for: PyTorch's CPU wheels.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

SHELL := bash
VENV := .venv
PEERS := .venv-bench
GRADING := .venv-grading
CLASS ?=
LIVE ?=
N ?= 20
BIN := $(CURDIR)/$(VENV)/bin
PIP := "$(BIN)/python" -m pip install --quiet --disable-pip-version-check
COMPILE := "$(BIN)/uv" pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
	--annotation-style line --custom-compile-command "make lock" $(FLAGS)
FREE_PORT := import socket; \
	print(next(p for p in range(8866, 9866) if socket.socket().connect_ex(("127.0.0.1", p))))

# The environments of `make test` are set up side by side.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += --jobs=2
endif

.PHONY: serve serve-class lab test bench load labs grade-demo site doctor lock data binder-link clean

# Voila reads voila.json, and the template in kit/live through the link that the set-up makes.
# For a class a kernel of each page waits, ready, and other computers may come in.
serve-class: FOR = --Voila.ip=$(LISTEN) --preheat_kernel=True
serve serve-class: $(VENV)/run.stamp
	@port=$$("$(BIN)/python" -c '$(FREE_PORT)') && cd "$(NOTEBOOKS)" && \
	printf '\nIn a second, here (Ctrl-C stops it):\n' && \
	if [ "$(FOR)" ]; then for host in $$(hostname -I 2>/dev/null | tr ' ' '\n' | grep -F . || hostname); do \
		echo "    http://$$host:$$port/"; done; fi && \
	for page in *.ipynb; do echo "    http://127.0.0.1:$$port/voila/render/$$page"; done && echo && \
	JUPYTER_PATH="$(CURDIR)/$(VENV)/jupyter" JUPYTER_CONFIG_PATH="$(CURDIR)/kit/live/config" \
	exec "$(BIN)/python" -m voila --port=$$port $(FOR) $(FLAGS)

lab: $(VENV)/run.stamp
	@cd "$(NOTEBOOKS)" && JUPYTER_PATH="$(CURDIR)/$(VENV)/jupyter" exec "$(BIN)/python" -m jupyterlab \
	--no-browser --ip=127.0.0.1 --LabApp.news_url=None \
	--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate $(FLAGS)

test: $(VENV)/dev.stamp $(GRADING)/grading.stamp
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/python" -m pytest --numprocesses=2 --ignore=tests/browser $(FLAGS)
	"$(BIN)/python" -m pytest tests/browser $(FLAGS)

# The peers live in an environment of their own, with the kit's lock and without their dependencies.
bench: $(VENV)/dev.stamp $(PEERS)/peers.stamp
	"$(BIN)/python" -m tests.bench; own=$$?; \
	OMP_NUM_THREADS=1 "$(CURDIR)/$(PEERS)/bin/python" -m tests.bench.peers && exit $$own

# So many readers at once on one server, each training live: make load N=20
load: $(VENV)/dev.stamp
	"$(BIN)/python" -m tests.bench.load $(N)

# The students' notebooks, without solutions, as dist/labs.zip; dist/course to grade them in. CLASS=2027
# draws other cases and data.
labs: $(GRADING)/grading.stamp
	"$(CURDIR)/$(GRADING)/bin/python" -m kit.labs release --course "$(CLASS)" --out dist/labs.zip

# A perfect, an empty and a wrong submission are handed out, graded and given feedback.
grade-demo: $(GRADING)/grading.stamp
	"$(CURDIR)/$(GRADING)/bin/python" -m kit.labs demo

# The pages as plain files in dist/site, for any static host. LIVE=https://... is where they are live,
# by default on Binder, where there is a GitHub remote.
site: $(VENV)/run.stamp
	@live="$(LIVE)"; [ "$$live" ] || live=$$($(MAKE) --silent --no-print-directory binder-link) || live=; \
	"$(BIN)/python" -m kit.live.site --out dist/site --live "$$live" $(FLAGS)

# Checks Python, packages, torch, data, ports, memory and speed, and says what to do.
doctor: $(VENV)/run.stamp
	@"$(BIN)/python" -m kit doctor

data: $(VENV)/dev.stamp
	"$(BIN)/python" data/build.py

# Keeps what is pinned; FLAGS=--upgrade takes the newest. torch becomes a line a platform.
lock: $(VENV)/dev.stamp
	$(COMPILE) pyproject.toml --output-file requirements.lock >/dev/null
	awk '/^torch==/ { print $$1 "+cpu ; sys_platform == \"linux\""; \
		print $$1 " ; sys_platform != \"linux\""; next } 1' requirements.lock > $(VENV)/lock
	mv $(VENV)/lock requirements.lock
	$(COMPILE) --group dev --constraint requirements.lock --output-file requirements-dev.lock >/dev/null
	$(COMPILE) --group grading --constraint requirements.lock \
		--output-file requirements-grading.lock >/dev/null

binder-link:
	@repo=$$(git remote get-url origin 2>/dev/null | \
	sed -nE 's#^(https://|git@|ssh://git@)github\.com[:/]([^/]+/[^/]+)$$#\2#p' | sed 's#\.git$$##'); \
	[ "$$repo" ] || { echo "No GitHub remote named origin: push there, then make binder-link."; exit 1; }; \
	echo "https://mybinder.org/v2/gh/$$repo/HEAD?urlpath=voila/render/notebooks/00_welcome.ipynb"

clean:
	rm -rf $(VENV) $(PEERS) $(GRADING) build dist .pytest_cache .ruff_cache .hypothesis tests/browser/screenshots

$(VENV)/venv.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	"This needs Python 3.11 or newer: make serve PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run.stamp: requirements.lock pyproject.toml | $(VENV)/venv.stamp
	@echo "Setting up $(VENV): a few minutes, this once."
	@{ echo "--extra-index-url $(TORCH_INDEX)"; grep ^torch== requirements.lock; } > $(VENV)/torch.txt
	$(PIP) --no-deps --retries 1 --timeout 10 -r $(VENV)/torch.txt
	$(PIP) -r requirements.lock
	$(PIP) --no-deps --editable .
	@mkdir -p $(VENV)/jupyter/voila/templates
	@ln -sfn ../../../../kit/live/template $(VENV)/jupyter/voila/templates/kit
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/run.stamp
	$(PIP) -r requirements-dev.lock
	@touch $@

$(PEERS)/peers.stamp: requirements.lock requirements-bench.lock $(VENV)/run.stamp
	$(PYTHON) -m venv $(PEERS)
	"$(PEERS)/bin/python" -m pip install --quiet --no-deps --retries 1 --timeout 10 -r $(VENV)/torch.txt
	"$(PEERS)/bin/python" -m pip install --quiet -r requirements.lock
	"$(PEERS)/bin/python" -m pip install --quiet --no-deps -r requirements-bench.lock
	@touch $@

# nbgrader brings JupyterLab extensions of its own, which the pages' environment is kept free of.
$(GRADING)/grading.stamp: requirements.lock requirements-grading.lock pyproject.toml | $(VENV)/run.stamp
	$(PYTHON) -m venv $(GRADING)
	"$(GRADING)/bin/python" -m pip install --quiet --no-deps --retries 1 --timeout 10 -r $(VENV)/torch.txt
	"$(GRADING)/bin/python" -m pip install --quiet -r requirements.lock
	"$(GRADING)/bin/python" -m pip install --quiet -r requirements-grading.lock
	"$(GRADING)/bin/python" -m pip install --quiet --no-deps --editable .
	@touch $@
