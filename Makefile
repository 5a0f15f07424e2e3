# Two commands for a newcomer: `make demo` and `make test`. The smaller targets are their parts.
.DEFAULT_GOAL := help
SHELL := /bin/bash
UV_VERSION := 0.13.8
UV := .tools/uv/bin/uv
RUN := $(UV) run --frozen

.PHONY: help
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(UV):
	@.ci/get-uv $(UV_VERSION) .tools/uv

.venv/.synced: $(UV) pyproject.toml uv.lock
	@$(UV) sync --frozen --quiet
	@touch $@

.PHONY: demo test check unit processes thorough integration integration-long e2e e2e-matrix e2e-systems e2e-long e2e-vllm cluster-up cluster-down
demo: .venv/.synced ## the main job on a real cluster, from nothing (KEEP=1 leaves it running, ENGINE=vllm: real vLLM)
	@$(RUN) python -m e2e.demo

# What computes and what waits run side by side: `computed` gives way to all the others, and `processes` runs beside the
# cases on the cluster that wait alone. `live` shows its lines as they come (hence no MAKEFLAGS), the others at their end.
test: .venv/.synced ## everything that is checked
	@$(RUN) python -m e2e.cluster ask
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory -j2 --output-sync=target computed live

.PHONY: computed live
computed:
	@nice -n 19 $(MAKE) --no-print-directory check thorough

live:
	@env -u MAKEFLAGS $(MAKE) --no-print-directory integration e2e BESIDE=processes

check: .venv/.synced ## ruff, mypy strict, import contracts
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports

unit: .venv/.synced ## what needs no cluster and takes seconds
	$(RUN) pytest tests e2e -m "not apiserver and not promtool and not cluster and not thorough and not processes and not systems and not matrix" -q -n 3

processes: .venv/.synced ## what starts programs and waits for them in real time
	$(RUN) pytest tests -m "processes and not apiserver" -q -n 4

thorough: .venv/.synced ## what computes for minutes: state machines, simulated hours, fuzzed parsers
	nice -n 19 $(RUN) pytest tests e2e/lab -m "thorough and not apiserver and not cluster" -q -n 3

integration: .venv/.synced ## against a real kube-apiserver, and the alert rules in Prometheus' own program
	$(RUN) pytest tests e2e -m "(apiserver or promtool) and not cluster and not long" -q -n 3 --dist loadgroup --no-loadscope-reorder --durations=6

integration-long: .venv/.synced ## against a real kube-apiserver, each way of disturbing the traffic with it alone
	$(RUN) pytest tests -m "apiserver and long and not cluster" -q -n 2 --durations=6

e2e-systems: .venv/.synced ## the model servers of the reports as processes, short (LONG=1: 5 minutes of good load, and the large ones)
	$(RUN) pytest e2e/systems -v --durations=6 $(if $(LONG),--load-seconds=300 --good-rounds=200,-m "systems and not large")

e2e-matrix: .venv/.synced ## every fault of the fault engine beside `llm-watchdog run`, for hours (K='vllm and hang': those)
	$(RUN) pytest e2e/matrix -m matrix -n 6 --maxschedchunk=1 -v $(if $(K),-k "$(K)")

e2e: .venv/.synced ## on a real node, the short form
	@$(RUN) python -m e2e.cluster run $(MAKE) --no-print-directory e2e-on-cluster

.PHONY: e2e-on-cluster e2e-alone
e2e-on-cluster: # most cases wait most of the time: four at once, as with five the engines themselves get slow
	$(RUN) pytest e2e -m "cluster and not long and not alone" -v -n 4 --durations=6
	@$(MAKE) --no-print-directory -j2 --output-sync=target e2e-alone $(BESIDE)
	$(RUN) pytest e2e -m "vllm and not long" -v --durations=6

e2e-alone:
	$(RUN) pytest e2e -m "cluster and not long and alone and not vllm" -v --durations=6

e2e-long: .venv/.synced ## on a real node, what takes long: the rungs above a restart, a wake that is none, a killed operator
	@$(RUN) python -m e2e.cluster run $(MAKE) --no-print-directory e2e-long-on-cluster

.PHONY: e2e-long-on-cluster
e2e-long-on-cluster:
	$(RUN) pytest e2e -m "cluster and long and not vllm and not alone" -v -n 4 --durations=6
	$(RUN) pytest e2e -m "cluster and long and not vllm and alone" -v --durations=6

e2e-vllm: .venv/.synced ## on a real node with the real vLLM, the long form
	$(RUN) pytest e2e -m "vllm" -v -rP

# Of `benchmark-detection`: cases of each behaviour in each dialect, simulated hours and real minutes without a fault, and
# cases that are played again in real time. The full form: SEEDS=20 HOURS=1000 REAL_MINUTES=60 REAL_SAMPLES=100. GO_ON=1 goes
# on with the report of a run that was ended, as long as the code is the same.
SEEDS ?= 2
HOURS ?= 5
REAL_MINUTES ?= 0
REAL_SAMPLES ?= 0
ifndef DRAW
DRAW := $(shell shuf -i 0-999999 -n 1)
endif
BENCHMARK := PYTHONHASHSEED=0 $(RUN) --group benchmarks python -m benchmarks.detection

.PHONY: benchmark-detection
benchmark-detection: .venv/.synced ## detection rate, delay, false alarms, beside other rules (SEEDS, HOURS, REAL_MINUTES, REAL_SAMPLES, DRAW)
	$(BENCHMARK) --seeds $(SEEDS) --hours $(HOURS) $(if $(GO_ON),--go-on,--draw $(DRAW))
	@if [ $(REAL_MINUTES) != 0 ] || [ $(REAL_SAMPLES) != 0 ]; then \
	  $(BENCHMARK).real --samples $(REAL_SAMPLES) --minutes $(REAL_MINUTES) --draw $(DRAW); fi

# Of `benchmark-remediation`: OUT=FOLDER writes table, JSON and plot there; without it the table is printed.
WORKERS ?= 200

.PHONY: benchmark-remediation
benchmark-remediation: .venv/.synced ## time to grant, budget, brake and cost of the operator, a fleet failing at once (WORKERS, DRAW, OUT)
	$(RUN) --group benchmarks python -m benchmarks.remediation --workers $(WORKERS) --draw $(DRAW) $(if $(OUT),--out $(OUT))

# Of `benchmark-footprint`: for how many seconds CPU is watched.
WATCHED ?= 120

.PHONY: benchmark-footprint
benchmark-footprint: .venv/.synced ## memory and CPU of each watchdog and operator on a running cluster (WATCHED=seconds, KUBECONFIG=FILE)
	$(RUN) python -m benchmarks.footprint --seconds $(WATCHED) \
	  $(if $(filter command,$(origin KUBECONFIG)),--kubeconfig=$(KUBECONFIG))

cluster-up: .venv/.synced ## start a cluster (SOURCE=local, kind), or look at one of yours (KUBECONFIG=FILE)
	@$(RUN) python -m e2e.cluster $(if $(SOURCE),--source=$(SOURCE)) \
	  $(if $(filter command,$(origin KUBECONFIG)),--kubeconfig=$(KUBECONFIG)) up

cluster-down: .venv/.synced ## end it, with everything it started
	@$(RUN) python -m e2e.cluster down
