# beamcap: `make` lists the targets. Each makes .venv first where it is missing or out of date.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
DEMO ?= demo-output
PY = .venv/bin/python
PYTEST = $(PY) -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder
BEAM = $(shell sed -n 's/^apache-beam==//p' constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help setup demo test slow check reference engines compat benchmark lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: .venv/complete ## a virtual environment with the pinned dependencies

.venv/complete: setup.py constraints.txt
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	.venv/bin/uv pip install --quiet --compile-bytecode --python $(PY) --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup ## draw pictures, then pipeline, train, export, caption, evaluate; offline, minutes
	$(PY) -m pipeline.drawn_pictures draw --output=$(DEMO)/pictures --count=1500
	$(PY) -m pipeline --source=flickr8k --input=$(DEMO)/pictures --output=$(DEMO)/dataset --encoder=tiny --images_per_shard=128
	$(PY) -m trainer train --data=$(DEMO)/dataset --run=$(DEMO)/run --epochs=20 --warmup_steps=20 --units=256 --annotation_units=256 --attention_units=128 --embedding_units=128 --region_dropout=0
	$(PY) -m trainer export --run=$(DEMO)/run --output=$(DEMO)/export --beam_width=3
	$(PY) -m trainer caption --model=$(DEMO)/export/1 $$(head -n 5 $(DEMO)/pictures/Flickr_8k.testImages.txt | sed 's|^|$(DEMO)/pictures/images/|')
	$(PY) -m trainer evaluate --run=$(DEMO)/run --split=test --beam_width=3
	$(PY) -m pipeline.drawn_pictures check --pictures=$(DEMO)/pictures --captions=$(DEMO)/run/captions-test.json --minimum=0.9
	@echo 'Dataset: $(DEMO)/dataset   run: $(DEMO)/run   export: $(DEMO)/export'

test: setup ## the tests, but for those that take long
	$(PYTEST) -m 'not slow'

slow: setup ## the tests that take long: engines, runtimes, jobs that are killed, the documentation's commands
	$(PYTEST) -m slow

check: setup ## format, lint and types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

reference: setup ## docs/reference.md anew, from the flags
	$(PY) docs/make_reference.py

engines: .engines/prism .engines/flink-job-server.jar .engines/spark-job-server.jar ## get Prism, Flink and Spark for the engine tests; needs go, mvn and Java 17

.engines/prism:
	GOBIN='$(CURDIR)/.engines' go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM)

.engines/%-job-server.jar: tests/engines/pom.xml tests/engines/%/pom.xml
	mvn --quiet --batch-mode --file tests/engines/$*/pom.xml package
	mv .engines/build-$*-job-server/$*-job-server.jar $@
	rm -rf .engines/build-$*-job-server

compat: .compat/tensorflow/complete .compat/java/complete ## get the oldest TensorFlow promised and TensorFlow-Java for the tests of the export; needs mvn and Java 17

.compat/tensorflow/complete: tests/compat/requirements.txt .venv/complete
	rm -rf .compat/tensorflow
	.venv/bin/uv venv --quiet --python $(PY) .compat/tensorflow
	.venv/bin/uv pip install --quiet --no-deps --python .compat/tensorflow/bin/python --requirement $<
	@touch $@

.compat/java/complete: tests/compat/pom.xml
	rm -rf .compat/java
	mvn --quiet --batch-mode --file $< package
	@touch $@

benchmark: setup ## Flickr8k end to end, then encoders and memory; needs FLICKR8K=directory WEIGHTS=MobileNetV2 weights file
	benchmarks/flickr8k.sh '$(FLICKR8K)' '$(WEIGHTS)'
	$(PY) benchmarks/encoders.py '$(FLICKR8K)'
	$(PY) benchmarks/worker_memory.py '$(FLICKR8K)/images' 1000 7000 50000

lock: setup ## write constraints.txt anew from the ranges in setup.py
	.venv/bin/uv pip compile --quiet --python-version 3.11 --universal --all-extras --no-emit-index-url --output-file constraints.txt setup.py
	echo uv==$$(.venv/bin/uv --version | cut -d ' ' -f 2) >> constraints.txt

clean: ## remove the virtual environments, the engines and the demo
	rm -rf .venv .engines .compat $(DEMO)
