# multiclaw: build, run, test. One file, no recursion; `make help` lists the targets.

BUILD    ?= build
SANITIZE ?=
V        ?=

comma    := ,
BUILD_BASE := $(BUILD)
ifneq ($(SANITIZE),)
override BUILD := $(BUILD)/$(subst $(comma),-,$(SANITIZE))
SANFLAGS := -fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined -fno-omit-frame-pointer
HARDEN   :=
else
HARDEN   := -D_FORTIFY_SOURCE=3
endif

Q := $(if $(V),,@)
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wvla \
	$(if $(WERROR),-Werror)
# third-party headers are system headers: our warnings are about our code
CFLAGS   ?= -O2 -g
PQ_INCLUDE := -isystem /usr/include/postgresql
ALLFLAGS := -std=gnu11 -I. $(PQ_INCLUDE) -D_GNU_SOURCE $(WARN) $(HARDEN) -fstack-protector-strong -fPIE $(SANFLAGS) $(CFLAGS)
LDLIBS   := -lexpat -larchive -lzstd -lhs -lz -llzma -lbz2 -lsqlite3 -lpq -lczmq -lzmq -lhiredis -levent -lmicrohttpd -lcurl -lwslay -ljansson -lmsgpackc -lpsl -lseccomp -lnftables -lmnl -lnetfilter_conntrack -lcrypto -lsodium -lm
LDALL    := -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANFLAGS) $(LDFLAGS)

DAEMONS  := router auth session chain-oracle secret-vault sandbox llm-gateway agent-wallet
HELPERS  := warden packer snapshot-store
PROGRAMS := $(patsubst %,$(BUILD)/bin/multiclaw-%,$(DAEMONS) $(HELPERS)) $(BUILD)/bin/multiclaw
DEVCHAIN := $(BUILD)/bin/multiclaw-devchain

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
COMMON_SRC := $(wildcard common/*.c)
PROTO_SRC  := $(wildcard proto/*.c)
COMMON_LIB := $(BUILD)/lib/common.a
PROTO_LIB  := $(BUILD)/lib/proto.a
# a folder's objects without its main.c: what its program and its unit tests link
FOLDERS    := $(addprefix services/,$(DAEMONS) $(HELPERS) cli) tests/devchain
FOLDER_LIBS := $(patsubst %,$(BUILD)/lib/%.a,$(notdir $(FOLDERS)))

UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC))
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ     := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))
FUZZ_SECONDS ?= 60

SOURCES := $(wildcard common/*.[ch] proto/*.[ch] services/*/*.[ch] services/*/*/*.[ch] tests/*/*.[ch] tests/unit/*/*.[ch])

.DEFAULT_GOAL := all
.PHONY: all help deps run test test-unit test-integration test-model test-sim test-node soak bench fuzz lint check-layers check-docs docs format clean tools demo-image
.SECONDARY:

all: $(PROGRAMS) $(DEVCHAIN) demo-image ## build every program into build/bin, and the demo agent's image

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  options: V=1 (show commands)  SANITIZE=address,undefined  WERROR=1  BUILD=dir  FUZZ_SECONDS=60"

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) $(ALLFLAGS) -MMD -MP -c -o $@ $<

# the scripts that run inside Redis are part of the binary: nothing to install, nothing to get out of step
$(BUILD)/obj/common/ledger.o $(BUILD)/fuzz/obj/common/ledger.o: common/ledger.lua
$(BUILD)/obj/common/llm_usage.o $(BUILD)/fuzz/obj/common/llm_usage.o: common/llm_usage.lua
$(BUILD)/obj/services/agent-wallet/operations.o $(BUILD)/fuzz/obj/services/agent-wallet/operations.o: services/agent-wallet/operations.lua
$(BUILD)/obj/services/warden/bundle_seccomp.o $(BUILD)/fuzz/obj/services/warden/bundle_seccomp.o: services/warden/seccomp.json

$(COMMON_LIB): $(call obj,$(COMMON_SRC))
$(PROTO_LIB): $(call obj,$(PROTO_SRC))
define folder_rules
$(BUILD)/lib/$(notdir $(1)).a: $(call obj,$(filter-out $(1)/main.c,$(wildcard $(1)/*.c)))
endef
$(foreach f,$(FOLDERS),$(eval $(call folder_rules,$(f))))

$(BUILD)/lib/%.a:
	@mkdir -p $(@D)
	$(if $(V),,@echo "  AR      $@")
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(BUILD)/bin/multiclaw-devchain: $(BUILD)/obj/tests/devchain/main.o $(BUILD)/lib/devchain.a $(COMMON_LIB)
	@mkdir -p $(@D) $(if $(V),,; echo "  LINK    $@")
	$(Q)$(CC) $(LDALL) -o $@ $^ $(LDLIBS)
$(BUILD)/bin/multiclaw: $(BUILD)/obj/services/cli/main.o $(BUILD)/lib/cli.a $(PROTO_LIB) $(COMMON_LIB)
	@mkdir -p $(@D) $(if $(V),,; echo "  LINK    $@")
	$(Q)$(CC) $(LDALL) -o $@ $^ $(LDLIBS)
$(BUILD)/bin/multiclaw-%: $(BUILD)/obj/services/%/main.o $(BUILD)/lib/%.a $(PROTO_LIB) $(COMMON_LIB)
	@mkdir -p $(@D) $(if $(V),,; echo "  LINK    $@")
	$(Q)$(CC) $(LDALL) -o $@ $^ $(LDLIBS)

# writes what it stores to its log, on purpose: the check for leaks has to find that
LEAKY := $(BUILD)/leaky/multiclaw-secret-vault
$(LEAKY): $(BUILD)/obj/services/secret-vault/main.o $(BUILD)/obj/tests/leaky/records_write.o $(BUILD)/lib/secret-vault.a $(PROTO_LIB) $(COMMON_LIB)
	@mkdir -p $(@D) $(if $(V),,; echo "  LINK    $@")
	$(Q)$(CC) $(LDALL) -Wl,--wrap=records_write -o $@ $^ $(LDLIBS)

# the deciding code of router and session in virtual time: what it talks through is replaced by the files named seam_*, and --wrap is for planted bugs
SIM := $(BUILD)/sim/sim
SIM_OBJ := $(call obj,$(wildcard tests/sim/*.c))
SIM_WRAPPED := follow_judge follow_heard follower_has_lease follower_chain_age_ms decision_put decision_lookup decision_restart decision_mark
$(BUILD)/sim/decision.o: services/router/decision.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) $(ALLFLAGS) -DDECISION_BUCKETS=64 -MMD -MP -c -o $@ $<
$(SIM): $(SIM_OBJ) $(BUILD)/sim/decision.o $(BUILD)/lib/router.a $(BUILD)/lib/session.a $(PROTO_LIB) $(COMMON_LIB)
	@mkdir -p $(@D) $(if $(V),,; echo "  LINK    $@")
	$(Q)$(CC) $(LDALL) $(addprefix -Wl$(comma)--wrap=,$(SIM_WRAPPED)) -o $@ $^ $(LDLIBS) -lluajit-5.1

# The demo agent runs in a container: static, on libc alone, and the same whatever the suite is built with.
DEMO_FOLDER := services/sandbox/demo-agent
DEMO_OBJ   := $(patsubst $(DEMO_FOLDER)/%.c,$(BUILD)/demo-agent/obj/%.o,$(wildcard $(DEMO_FOLDER)/*.c))
DEMO_AGENT := $(BUILD)/demo-agent/demo-agent
DEMO_IMAGE := $(BUILD)/demo-agent/image
DEMO_FLAGS := -std=gnu11 -I. -D_GNU_SOURCE $(WARN) -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fPIE -O2
$(BUILD)/demo-agent/obj/%.o: $(DEMO_FOLDER)/%.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) $(DEMO_FLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/demo-agent/obj/assets.o: $(addprefix $(DEMO_FOLDER)/,page.html app.js style.css)
$(DEMO_AGENT): $(DEMO_OBJ)
	$(if $(V),,@echo "  LINK    $@")
	$(Q)$(CC) -static-pie -s -Wl,-z,relro,-z,now -o $@ $^
$(DEMO_IMAGE)/index.json: $(DEMO_AGENT) $(DEMO_FOLDER)/image
	$(if $(V),,@echo "  IMAGE   $(DEMO_IMAGE)")
	$(Q)$(DEMO_FOLDER)/image $(DEMO_AGENT) $(DEMO_IMAGE)

# and so does the one that tests tell what to answer
HOSTILE := $(BUILD)/hostile-agent/hostile-agent
$(HOSTILE): tests/sandbox/hostile_agent.c
	@mkdir -p $(@D) $(if $(V),,; echo "  LINK    $@")
	$(Q)$(CC) $(DEMO_FLAGS) -pthread -static-pie -s -Wl,-z,relro,-z,now -o $@ $<

# looks for secrets in files: for tests and measurements
SCAN_FILES := $(BUILD)/bench/scan_files
$(SCAN_FILES): $(BUILD)/obj/tests/bench/scan_files.o $(BUILD)/lib/packer.a $(PROTO_LIB) $(COMMON_LIB)
	@mkdir -p $(@D) $(if $(V),,; echo "  LINK    $@")
	$(Q)$(CC) $(LDALL) -o $@ $^ $(LDLIBS)

# composes, judges and explains transactions for tests in other languages
WALLET_LINES := $(BUILD)/wallet/wallet_lines
$(WALLET_LINES): $(BUILD)/obj/tests/wallet/wallet_lines.o $(COMMON_LIB)
	@mkdir -p $(@D) $(if $(V),,; echo "  LINK    $@")
	$(Q)$(CC) $(LDALL) -o $@ $^ $(LDLIBS)

# what the tests put into containers to break out of them
PROBE_OBJ   := $(patsubst tests/sandbox/%.c,$(BUILD)/sandbox/obj/%.o,$(filter-out tests/sandbox/hostile_agent.c,$(wildcard tests/sandbox/*.c)))
PROBE       := $(BUILD)/sandbox/probe
PROBE_IMAGE := $(BUILD)/sandbox/image
$(BUILD)/sandbox/obj/%.o: tests/sandbox/%.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) $(DEMO_FLAGS) -MMD -MP -c -o $@ $<
$(PROBE): $(PROBE_OBJ)
	$(if $(V),,@echo "  LINK    $@")
	$(Q)$(CC) -static-pie -s -o $@ $^
$(PROBE_IMAGE)/index.json: $(PROBE) $(DEMO_AGENT) tests/sandbox/image
	$(if $(V),,@echo "  IMAGE   $(PROBE_IMAGE)")
	$(Q)tests/sandbox/image $(PROBE) $(DEMO_AGENT) $(PROBE_IMAGE)

demo-image: $(DEMO_IMAGE)/index.json ## build the demo agent and its OCI image layout, build/demo-agent/image

# tests/unit/<folder>/test_x.c links what its folder shares (files not named test_*), the folder's library (if it has one), proto
# and common; archives keep it to what it names
unit_shared = $(call obj,$(filter-out tests/unit/$(1)/test_%,$(wildcard tests/unit/$(1)/*.c)))
.SECONDEXPANSION:
$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $$(call unit_shared,$$(firstword $$(subst /, ,$$*))) $$(filter $$(BUILD)/lib/$$(firstword $$(subst /, ,$$*)).a,$(FOLDER_LIBS)) $(PROTO_LIB) $(COMMON_LIB)
	@mkdir -p $(@D) $(if $(V),,; echo "  LINK    $@")
	$(Q)$(CC) $(LDALL) -o $@ $^ $(LDLIBS) -lcmocka

# fuzz targets are built by clang with its own objects; the library sources are compiled in whole
FUZZ_LIB_SRC := $(COMMON_SRC) $(PROTO_SRC) $(foreach f,$(FOLDERS),$(filter-out $(f)/main.c,$(wildcard $(f)/*.c)))
FUZZFLAGS := -std=gnu11 -I. $(PQ_INCLUDE) -D_GNU_SOURCE -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  FUZZCC  $<")
	$(Q)clang $(FUZZFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/fuzz/lib.a: $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(FUZZ_LIB_SRC))
	$(Q)rm -f $@ && $(AR) qcs $@ $^
$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/obj/tests/fuzz/fuzz_%.o $(BUILD)/fuzz/lib.a
	$(if $(V),,@echo "  LINK    $@")
	$(Q)clang -fsanitize=fuzzer,address,undefined -Wl,--as-needed -o $@ $^ $(LDLIBS)

deps: ## install every Debian package that building, running and testing needs
	@deploy/deps

# what `sudo make run` builds stays the property of who typed it
AS_HUMAN = $(if $(SUDO_UID),$(shell [ "$$(stat -c %u '$(BUILD)' 2>/dev/null || stat -c %u .)" = '$(SUDO_UID)' ] && \
	echo 'setpriv --reuid=$(SUDO_UID) --regid=$(SUDO_GID) --init-groups'))

# a fresh machine has neither compiler nor libraries, so these two see to that before they build
run: ## start the whole suite (with the development chain unless SOLANA_RPC_URL is set); Ctrl-C stops it; as root with containers
	@deploy/deps --needed && $(AS_HUMAN) $(MAKE) --no-print-directory -j$$(nproc) all && BUILD=$(BUILD) exec deploy/run

tools: all $(UNIT) $(SIM) $(LEAKY) $(HOSTILE) $(SCAN_FILES) $(WALLET_LINES) $(PROBE_IMAGE)/index.json

test: ## everything: unit, protocol, models, integration, node; installs what is missing
	@MAKEFLAGS= BUILD=$(BUILD_BASE) SANITIZE=$(SANITIZE) tests/run

test-unit: $(UNIT) ## unit tests only
	@tests/run-unit $(UNIT)

test-integration: all $(LEAKY) $(HOSTILE) $(SCAN_FILES) $(PROBE_IMAGE)/index.json ## integration tests only (real Redis, real nginx); ARGS= goes to pytest
	@BUILD=$(BUILD) /usr/bin/python3 -m pytest -q --durations=40 --durations-min=8 tests/integration $(ARGS)

test-model: ## the protocol's models, searched by SPIN
	@BUILD=$(BUILD) /usr/bin/python3 -m pytest -q tests/model $(ARGS)

SEEDS ?= 25000
test-sim: $(SIM) ## router and session in virtual time; SEEDS=100000 for more
	@BUILD=$(BUILD) SEEDS=$(SEEDS) /usr/bin/python3 -m pytest -q tests/sim $(ARGS)

test-node: all $(WALLET_LINES) ## the tests that use the ecosystem's own JavaScript libraries
	@BUILD=$(BUILD) tests/node/run

soak: all $(LEAKY) $(HOSTILE) $(SCAN_FILES) $(PROBE_IMAGE)/index.json ## the long variants of integration tests, hours; SOAK_ONLY=storm for the thousand kills alone
	@BUILD=$(BUILD) tests/soak

BENCH := $(BUILD)/bench/load $(BUILD)/bench/probe $(BUILD)/bench/floor $(BUILD)/bench/table
$(BUILD)/bench/table: $(BUILD)/lib/router.a $(COMMON_LIB)
$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o
	@mkdir -p $(@D) $(if $(V),,; echo "  LINK    $@")
	$(Q)$(CC) $(LDALL) -o $@ $^ $(LDLIBS)

bench: all $(BENCH) ## measure against peers and physical limits, print the table
	@BUILD=$(BUILD) tests/bench/run

fuzz: $(FUZZ) ## run each fuzz target for FUZZ_SECONDS
	@BUILD=$(BUILD) FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run $(FUZZ)

lint: check-layers check-docs ## static analysis, formatting, layers, banned functions
	@BUILD=$(BUILD) tests/lint

check-layers: ## services -> proto -> common -> libraries, nothing else
	@tests/check-layers

PRINT_PROTO := $(BUILD)/docs/print_proto
$(PRINT_PROTO): $(BUILD)/obj/tests/docs/print_proto.o $(PROTO_LIB) $(COMMON_LIB)
	@mkdir -p $(@D) $(if $(V),,; echo "  LINK    $@")
	$(Q)$(CC) $(LDALL) -o $@ $^ $(LDLIBS)

docs: all $(PRINT_PROTO) ## regenerate what is derived from tables: proto/README.md, deploy/conf
	@BUILD=$(BUILD) deploy/docs

check-docs: all $(PRINT_PROTO) ## fail if a derived file differs from its table
	@BUILD=$(BUILD) deploy/docs --check

format: ## clang-format the C sources in place
	$(Q)clang-format -i $(filter-out proto/%.h,$(SOURCES))

clean: ## remove the build folder
	$(Q)rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
