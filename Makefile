# Two commands do everything: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PY := .venv/bin/python
DEMO_DATA := datasets/horse2zebra_toy
DEMO_RUN := checkpoints/demo
DEMO_RESULTS := results/demo/test_latest
# 64 px and narrow networks: a few minutes on two cores
DEMO_FLAGS := --model coopcut --CUT_mode FastCUT --dataroot $(DEMO_DATA) --name demo --load_size 72 --crop_size 64 \
	--ngf 16 --netG resnet_4blocks --ndf 32 --netD n_layers --n_layers_D 2 --netF_nc 64 --num_patches 128 \
	--lambda_NCE 1 --lr 0.0004 --ema 0.99 --coop_epochs 3 --coop_fade 2 \
	--n_epochs 6 --n_epochs_decay 3 --print_freq 100 --update_html_freq 200 --save_latest_freq 500 \
	--num_threads 1 --display_id 0

.PHONY: help venv demo test test-fast lint visdom clean

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

venv: .venv/installed  ## make .venv with everything installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(PY) || $(PYTHON) -m venv .venv
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt PIP_BUILD_CONSTRAINT=$(CURDIR)/constraints.txt \
		$(PY) -m pip install --disable-pip-version-check --progress-bar off -q -e '.[html,visdom,tensorboard,plot,metrics,dev]'
	touch $@

demo: $(DEMO_RESULTS)/contact_sheet.png  ## train coopcut on a small drawn data set and translate with it (minutes)
	@echo
	@echo "page:          $(CURDIR)/$(DEMO_RESULTS)/index.html"
	@echo "contact sheet: $(CURDIR)/$(DEMO_RESULTS)/contact_sheet.png"

$(DEMO_DATA)/looks.json: .venv/installed
	$(PY) datasets/make_toy.py --out $(DEMO_DATA) --size 64 --train 200 --test 32
	@touch $@

# an interrupted demo goes on where it stopped
$(DEMO_RUN)/finished: $(DEMO_DATA)/looks.json
	if [ -f $(DEMO_RUN)/latest_state.pth ]; then $(PY) train.py $(DEMO_FLAGS) --continue_train; \
		else $(PY) train.py $(DEMO_FLAGS); fi
	@touch $@

$(DEMO_RESULTS)/contact_sheet.png: $(DEMO_RUN)/finished
	$(PY) test.py --name demo --dataroot $(DEMO_DATA) --batch_size 8
	$(PY) datasets/make_toy.py --count $(DEMO_RESULTS)/images/fake_B --out $(DEMO_DATA)
	@touch $@

PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --maxprocesses 8 --dist worksteal

test: .venv/installed lint  ## lint, types and all tests, with the slowest 20
	$(PYTEST) --durations=20

test-fast: .venv/installed  ## the quick tests, which start no other process
	$(PYTEST) -m "not slow"

lint: .venv/installed  ## ruff, mypy, codespell
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/codespell

visdom: .venv/installed  ## live view of trainings at http://localhost:8097 (NAME=run: also a finished run)
	@$(PY) -m coopcut.monitors.visdom $(if $(NAME),--name $(NAME))

clean:  ## remove what the demo made, and caches
	rm -rf $(DEMO_DATA) $(DEMO_RUN) results/demo .mypy_cache .ruff_cache .pytest_cache
