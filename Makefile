# Everything a newcomer needs: `make run` and `make test`. Both set up .venv by themselves.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# uv installs ten times faster than pip and gives the same versions; it is told what pip was told.
UV_ENV = UV_FIND_LINKS="$$PIP_FIND_LINKS" UV_DEFAULT_INDEX="$$($(BIN)/pip config get global.index-url 2>/dev/null)"

.PHONY: setup lock run test test-slow bench check eval-gate format browser clean

setup: $(STAMP)

$(STAMP): requirements.txt requirements-dev.txt constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	if $(BIN)/python -m pip install --quiet uv; then \
	  $(UV_ENV) $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -r requirements-dev.txt; \
	else false; fi || $(BIN)/python -m pip install --quiet -c constraints.txt -r requirements-dev.txt
	$(BIN)/python -m kb.embed_model
	touch $@

# Resolve the pins anew, after a change of requirements.txt.
lock: $(STAMP)
	{ echo "# Everything that the tests ran with; requirements.txt names what is wanted itself. Made by 'make lock'."; \
	  $(UV_ENV) $(BIN)/uv pip compile --quiet --no-header --no-annotate requirements-dev.txt | sed 's/+cpu$$//'; } > constraints.txt

# A tool in an environment of its own: make env-xtuner
env-%: setup
	$(BIN)/python -m kb tools install $*

run: setup
	$(BIN)/python -m ui $(ARGS)

# The quick suite: no network, no GPU, under 5 minutes on 2 cores.
test: setup
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

test-slow: setup
	$(BIN)/python -m pytest -m slow $(ARGS)

bench: setup
	$(BIN)/python -m pytest -m bench -s $(ARGS)

check: setup eval-gate
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Our own questions about docs/: fails when a metric is worse than the baseline beyond chance. A change that is meant
# to move them writes the baseline anew: make eval-gate GATE="--save-baseline eval/cases/guide.run.json".
GATE ?= --gate eval/cases/guide.run.json
eval-gate: setup
	home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && export KB_DATA_BASE="$$home" && \
	$(BIN)/python -m ingest docs --kb guide && \
	$(BIN)/python -m eval --kb guide --questions eval/cases/guide.jsonl $(GATE)

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Chromium and Chinese fonts for tests/browser, where Debian's or Ubuntu's package manager may be used.
browser:
	sh tests/browser/install.sh

clean:
	rm -rf .venv .pytest_cache .hypothesis .mypy_cache .ruff_cache
