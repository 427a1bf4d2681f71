# Every target makes .venv and installs what changed by itself.
PYTHON  ?= python3
PROFILE ?=
ARGS    ?=
VENV    := .venv
PY      := $(VENV)/bin/python
READY   := $(VENV)/.ready
SITE    := $(VENV)/.site
STUDIES := $(patsubst notebooks/%.ipynb,%,$(wildcard notebooks/*.ipynb))

.DEFAULT_GOAL := help
.PHONY: help setup test bench stress lab lab-check verify pages front site site-check lint lock clean $(STUDIES)

## Show this list
help:
	@echo "Usage: make TARGET [PROFILE=demo|small|base|full|paper] [DATA_DIR=folder] [ARGS=\"learning_rate=5e-5\"]"
	@echo "       make your_data DATA=file.csv TEXT=column LABEL=column [CONFIG=settings.yaml] [ARGS=\"data.encoding=latin-1\"]"
	@echo "       make label_budget DATA=file.csv TEXT=column LABEL=column"
	@echo
	@awk '/^## /{text=substr($$0, 4); next} /^[a-z_-]+:/{if (text) printf "  %-18s %s\n", substr($$1, 1, length($$1)-1), text} {text=""}' Makefile
	@for study in $(STUDIES); do printf "  %-18s %s\n" $$study "Run the study notebooks/$$study.ipynb and publish its page in results/"; done

## Make .venv and install the pinned requirements (every other target does this too)
setup: $(READY)

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another one: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); \
	  echo "The venv module is missing; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing the pinned requirements into $(VENV) (once; some minutes)"
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

$(SITE): requirements-site.txt $(READY)
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-site.txt
	@touch $(SITE)

# What a user gives is data: neither make nor the shell expands a $ in it.
GIVEN := DATA TEXT LABEL CONFIG PROFILE ARGS DATA_DIR RUNS_DIR
$(foreach name,$(GIVEN),$(if $(filter-out undefined,$(origin $(name))),$(eval override export $(name) := $$(value $(name)))))

define NEWLINE


endef
export NEWLINE
# a variable, by its name, as a word of a shell; and as a text of YAML, whose line break is an empty line
as_word = '$(subst $(NEWLINE),'"$$NEWLINE"',$(subst ','\'',$($1)))'
as_text = '$(subst $(NEWLINE),$(NEWLINE)$(NEWLINE),$(subst ','',$($1)))'

USUAL      = $(if $(DATA)$(if $(filter your_data,$@),$(CONFIG)),small,demo)
DATASET_IS = dataset=$(call as_text,DATA)
TEXT_IS    = text=$(call as_text,TEXT)
LABEL_IS   = label=$(call as_text,LABEL)
OWN        = $(if $(DATA),$(call as_word,DATASET_IS)) $(if $(TEXT),$(call as_word,TEXT_IS)) $(if $(LABEL),$(call as_word,LABEL_IS))
$(STUDIES): $(READY)
	@$(PY) -m lib study $@ --profile $(if $(PROFILE),$(call as_word,PROFILE),$(USUAL)) $(if $(CONFIG),--config $(call as_word,CONFIG)) $(OWN) $(ARGS)

## Run the tests
test: $(SITE)
	@$(PY) -m pytest -n 2 --dist worksteal $(ARGS)

## Measure training, labelling and waits beside Hugging Face's libraries and write results/benchmark/<machine>/ (a quarter of an hour, nothing else running)
bench: $(READY)
	@$(PY) -m tests.bench $(ARGS)

## Count how often intervals and tests err; kill runs, workers and drivers, damage files and pages, and count what was lost
stress: $(READY)
	@OMP_NUM_THREADS=1 $(PY) -m tests.calibration
	@OMP_NUM_THREADS=1 $(PY) -m tests.calibration_folds
	@$(PY) -m tests.stress_kills
	@$(PY) -m tests.stress
	@$(PY) -m tests.fuzz

## Open the notebooks in Jupyter
lab: $(READY)
	@$(VENV)/bin/jupyter lab --notebook-dir=notebooks

## Run a notebook in JupyterLab in headless Chromium, and look whether all of it appears
lab-check: $(READY)
	@$(PY) -m tests.lab_check $(ARGS)

PAGES := $(patsubst %page.json,%,$(wildcard results/*/*/page.json))

## Make every published page again of what it publishes, in a temporary folder, and compare every byte
verify: $(READY)
	@$(PY) -m lib verify $(PAGES)

## Make every published page anew of what it publishes: after a sentence, table or figure was changed; trains nothing
pages: $(READY)
	@$(PY) -m lib pages $(PAGES)
	@$(PY) -m notebooks.front

## Make the README's answers and results/overview.png anew from the published pages
front: $(READY)
	@$(PY) -m notebooks.front

## Build the pages as a static site, site/index.html
site: $(SITE)
	@$(PY) -m lib site

## Look at the site in headless Chromium: as wide as a desktop and a phone, light and dark
site-check: site
	@$(PY) -m tests.site_check site $(ARGS)

## Check style
lint: $(READY)
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/nbstripout --verify notebooks/*.ipynb

## Compile requirements.in and requirements-site.in into the exact versions of the .txt files
lock: $(READY)
	@$(VENV)/bin/uv pip compile requirements.in -o requirements.txt --no-annotate --no-header --python-version 3.11 --upgrade --quiet
	@$(VENV)/bin/uv pip compile requirements-site.in -o requirements-site.txt --no-annotate --no-header --python-version 3.11 --upgrade --quiet

## Remove the environment and caches; runs/ and results/ stay
clean:
	rm -rf $(VENV) *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
