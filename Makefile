# Everything a reader or a maintainer runs. `make` alone lists it.

PYTHON ?= python3
BUDGET ?= laptop
JOBS   ?= 2

BIN        := .venv/bin
INSTALLED  := .venv/installed
QUICKSTART := _build/00_quickstart.ipynb
DRAFT      := _build/source/.built
BOOK       := _build/html/.built
PACKAGE    := $(shell find vqvae_course -name '*.py')
PAGES      := _config.yml _toc.yml CHANGELOG.md $(shell find book notebooks benchmarks -type f -not -path '*/.*' -not -name '*.pyc')

# Kernels run in notebooks/, where a relative path would name another folder.
ifdef VQVAE_COURSE_DATA
override VQVAE_COURSE_DATA := $(shell $(PYTHON) -c 'import os, sys; print(os.path.abspath(sys.argv[1]))' '$(VQVAE_COURSE_DATA)')
export VQVAE_COURSE_DATA
endif

# Which build of torch is there; make book TORCH=cpu asks for another, and that is installed from nothing.
THERE := $(shell cat $(INSTALLED) 2> /dev/null)
TORCH ?= $(THERE)
ifneq ($(TORCH),$(THERE))
ANEW  := yes
.PHONY: $(INSTALLED)
endif

.PHONY: help book test lint units processors notebooks slow mutants site browser links slides pdf lab facts diagrams execute experiment bench release-check colab lowest newest clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

book:  ## run the quickstart here, build the book, print the page to open; TORCH=cpu for a machine without a GPU
	@$(MAKE) --no-print-directory -j $(JOBS) $(BOOK)
	@printf '\nOpen  file://%s\n' '$(CURDIR)/_build/html/index.html'

test: lint units processors notebooks site browser  ## everything CI runs: the next six

lint: $(INSTALLED)  ## code style, spelling, and the workflows
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml

# Processes of one thread: these tensors are tiny, and threads that wait for each other take four times as long on a
# shared machine. A file stays in one process, because its tests share what they have trained.
units: $(INSTALLED)  ## unit tests, in two processes: make units JOBS=4
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# Without the vector instructions of this processor sums round in another way, and training carries that on.
processors: $(INSTALLED)  ## the tests that train, once more as the plainest processor would run them
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m 'trained and not (slow or gpu or notebooks or browser)'

notebooks: $(INSTALLED)  ## run every notebook under the smoke budget, compare the outputs that must not change
	rm -rf _build/failed
	VQVAE_COURSE_STORED=1 VQVAE_COURSE_BUDGET=smoke OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p tools.keep_failed -n $(JOBS) --dist loadfile --nbval-lax --nbval-current-env --nbval-cell-timeout=120 notebooks

# A verdict for a hundred fresh inputs takes an hour, and stays apart.
slow: $(INSTALLED)  ## tests that take minutes: a whole class from release to grades, three processes, the printed book
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m slow --ignore tests/checks

mutants: $(INSTALLED)  ## change the model answers in every small way; each change must be refused by its check
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.mutants

site: $(INSTALLED)  ## the book from the stored outputs, as published; warnings, dead links and remote loads are errors
	rm -rf _build/site  # a page built before would not repeat its warnings
	$(BIN)/jupyter-book build . --path-output _build/site -W -n --keep-going -q > /dev/null
	$(BIN)/python -m tools.check_links _build/site/_build/html

browser: site  ## every page of that book in a browser, and a notebook in JupyterLab; skipped where there is no Chromium
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m browser tests/test_browser.py tests/test_jupyterlab.py

links: $(INSTALLED)  ## follow every external link; needs the network, and is no part of make test
	$(BIN)/jupyter-book build . --builder linkcheck --path-output _build/links -q

slides: $(INSTALLED)  ## every notebook as slides that need no network, into _build/slides
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps sphinx-revealjs==3.2.1  # carries reveal.js
	$(BIN)/python -m tools.slides _build/slides

pdf: $(INSTALLED)  ## the whole book in one file, _build/vqvae-course.pdf; needs Chromium, takes about two minutes
	rm -rf _build/pdf
	$(BIN)/jupyter-book build . --path-output _build/pdf -q > /dev/null
	$(BIN)/python -m tools.pdf _build/pdf/_build/html _build/vqvae-course.pdf

lab: $(INSTALLED)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter-lab

facts: $(INSTALLED)  ## write minutes, points and names of exercises wherever they are told
	$(BIN)/python -m tools.facts

diagrams: $(INSTALLED)  ## draw the diagrams of the book anew, and the strip above each page
	$(BIN)/python -m tools.diagrams

execute: $(INSTALLED)  ## refresh the stored outputs: make execute NB=05_training_a_vqvae BUDGET=laptop
	@test -n '$(NB)' || { echo 'Which notebook? For instance: make execute NB=05_training_a_vqvae BUDGET=laptop'; exit 1; }
	VQVAE_COURSE_BUDGET=$(BUDGET) $(BIN)/python -m tools.execute notebooks/$(basename $(notdir $(NB))).ipynb

experiment: $(INSTALLED)  ## run what is missing of the runs behind a comparison: make experiment NAME=collapse; without a name, list them
	$(BIN)/python -m experiments $(NAME) --jobs $(JOBS)

bench: $(INSTALLED)  ## measure speed against other ways, side by side, into benchmarks/results.md (about twenty minutes, on a quiet machine)
	$(BIN)/python -m pip install --disable-pip-version-check -q -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks

release-check: $(INSTALLED)  ## before a release: versions and stamps agree, notebooks run against the built wheel elsewhere
	$(BIN)/python -m tools.release_check

ENVIRONMENT = $(if $(TORCH),UV_TORCH_BACKEND=$(TORCH)) $(BIN)/python -m tools.environments --jobs $(JOBS)

colab: $(INSTALLED)  ## with what Colab has: install as a notebook's first cell does, run every notebook, move the sliders
	$(ENVIRONMENT) colab

lowest: $(INSTALLED)  ## with the lowest versions that pyproject.toml accepts: the unit tests
	$(ENVIRONMENT) lowest

newest: $(INSTALLED)  ## with the newest versions there are: the unit tests and every notebook
	$(ENVIRONMENT) newest

clean:  ## delete what was built; .venv stays
	rm -rf _build .pytest_cache .ruff_cache
	find vqvae_course tools tests book benchmarks -name __pycache__ -exec rm -rf {} +

# Marked as installed only at the very end: an installation that broke off starts over from nothing.
$(INSTALLED): requirements.txt pyproject.toml
	@command -v $(PYTHON) > /dev/null || { echo 'There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=...'; exit 1; }
	@$(PYTHON) tools/check_python.py
	$(if $(ANEW),,rm $@ 2> /dev/null ||) $(PYTHON) -m venv --clear .venv
	$(BIN)/python tools/install.py --torch '$(TORCH)'
	@echo '$(TORCH)' > $@

$(QUICKSTART): notebooks/00_quickstart.ipynb $(PACKAGE) tools/execute.py tools/outputs.py $(INSTALLED)
	$(BIN)/python -m tools.execute $< --to $@

# The book is built from a copy, so that the working tree stays as it was: from the stored outputs while the quickstart
# runs, and then once more, which writes the quickstart's page anew.
$(DRAFT): $(PAGES) $(PACKAGE) $(INSTALLED)
	rm -rf _build/source && mkdir -p _build/source
	cp -Rp _config.yml _toc.yml CHANGELOG.md book notebooks benchmarks _build/source
	$(BIN)/jupyter-book build _build/source --path-output . -q > /dev/null
	@touch $@

$(BOOK): $(DRAFT) $(QUICKSTART)
	cp -p $(QUICKSTART) _build/source/notebooks
	$(BIN)/jupyter-book build _build/source --path-output . -q > /dev/null
	@touch $@
