# `make demo` and `make test` need only Python 3.11 to 3.13. They create their own environment in .venv.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test thorough lint format clean

help:
	@echo "make demo    train a GAN on embedded images of clothes, and say where the page with its samples is"
	@echo "make test    run the tests (make thorough adds the long ones)"
	@echo "make lint    check the style (make format fixes it)"

.venv/installed: setup.py pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "gan_zoo needs Python 3.11 to 3.13: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[test]'
	@touch $@

demo: .venv/installed
	$(BIN)/python train.py --recipe=demo
	@echo
	@echo "Open runs/demo/index.html in a browser: it shows the samples, and commands to go on with. For example:"
	@echo "    $(BIN)/python -m gan_zoo.sample --model=runs/demo --label=sneaker --num=64 --output=sneakers.png"

test: .venv/installed
	$(BIN)/python -m pytest --numprocesses=2 --dist=worksteal

thorough: .venv/installed
	$(BIN)/python -m pytest --thorough --numprocesses=2 --dist=worksteal

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build *.egg-info
