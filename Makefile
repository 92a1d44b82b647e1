# Every target sets up .venv by itself first; see requirements/bootstrap.sh.
SHELL := bash
PY := .venv/bin/python
export PYTHON TORCH_INDEX

.DEFAULT_GOAL := help
.PHONY: help setup docs demo test test-slow test-franka test-launch check format bench-control bench-record bench-policies clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@echo 'variables: PYTHON=/path/to/python3.12, TORCH_INDEX=<index with a CPU build of torch>, ARGS="..."'

setup: ## make .venv; every other target does this first
	@bash requirements/bootstrap.sh

demo: setup ## record, learn and act in the simulator; ARGS="--view" shows it
	@.venv/bin/il demo $(ARGS)

check: setup ## lint, format and types
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@$(PY) -m mypy

test: check ## check, then all tests that need no robot and no GPU; those of nodes one by one, the others side by side
	@$(PY) -m pytest -n 2 -m "not ros and not hardware and not gpu and not slow" $(ARGS) || [ $$? -eq 5 ]
	@$(PY) -m pytest -m "ros and not hardware and not gpu and not slow" $(ARGS) || [ $$? -eq 5 ]

test-slow: setup ## the tests that take minutes each, and are left out above
	@$(PY) -m pytest -m slow $(ARGS)

test-franka: setup ## the Franka driver against a simulated controller, in a venv of its own (.venv-franka)
	@test -x .venv-franka/bin/python || $(PY) -m venv .venv-franka
	@.venv-franka/bin/python -m pip install -q -r requirements/franka.txt
	@test -d .venv-franka/client || $(PY) -m pip install -q --no-deps --target .venv-franka/client pylibfranka==0.21.3
	@FRANKA_SIM_PYTHON=$(CURDIR)/.venv-franka/bin/python PYTHONPATH=.venv-franka/client $(PY) -m pytest test/franka $(ARGS)

test-launch: setup ## the launch files, run by ROS 2's launch; without a sourced ROS 2: SOURCES=<folder>, docs/launch_tests.md
	@[ -z "$(SOURCES)" ] || bash test/launch/underlay.sh "$(SOURCES)"
	@[ -n "$$AMENT_PREFIX_PATH" ] || [ ! -f .venv-launch/setup.sh ] || . .venv-launch/setup.sh; \
	  $(PY) -m pytest -p no:launch_testing -p no:launch_ros test/launch $(ARGS)

docs: setup ## write docs/reference and the SROS2 policy anew from the code
	@$(PY) -m docs.generate

format: setup ## rewrite the sources in the project's style
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

bench-control: setup ## measure the control layer beside robosuite; QUICK=1 is shorter
	@[ -x .venv-robosuite/bin/python ] || { echo 'setup: robosuite, the peer, in .venv-robosuite (1.3 GB, once)'; \
	  $(PY) -c 'import sys; print(sys._base_executable)' | xargs -I{} {} -m venv .venv-robosuite && \
	  .venv-robosuite/bin/pip install --quiet robosuite==1.5.2 mujoco==3.3.1; } || { rm -rf .venv-robosuite; \
	  echo 'setup: robosuite could not be installed; its figures will be missing'; }
	@PYTHONPATH=. MUJOCO_GL=egl OMP_NUM_THREADS=1 $(PY) benchmark/bench_control.py

bench-record: setup ## measure recording: load, kills, corrupted files, stamps; QUICK=1 is shorter
	@PYTHONPATH=. OMP_NUM_THREADS=1 $(PY) benchmark/bench_record.py $(ARGS)

bench-policies: setup ## measure policies task by task, resumable; QUICK=1 repeats a telling subset
	@PYTHONPATH=. MUJOCO_GL=egl OMP_NUM_THREADS=1 $(PY) benchmark/bench_policies.py $(ARGS)

clean: ## remove .venv and everything made
	rm -rf .venv .venv-franka .venv-launch outputs build install log *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
