# make build | check | demo | bench | install | clean.  The build itself is meson's; this file is its front door.

BUILD ?= build
PREFIX ?= /usr/local
MESON_FLAGS ?=

.PHONY: all build check quick-check system demo bench install clean

all: build

# The source list is generated: configure again when files came or went.
build:
	@.ci/deps build
	@[ -f $(BUILD)/build.ninja ] || meson setup $(BUILD) --prefix=$(PREFIX) $(MESON_FLAGS) >/dev/null || \
		{ cat $(BUILD)/meson-logs/meson-log.txt; exit 1; }
	@ls core/*/*.[ch] ports/*/*.[ch] shim/*.[ch] cli/*.[ch] cli/*/*.[ch] ports/sim/workloads/*.[ch] tests/*/*.c tests/*/*/*.c bench/*.c bench/*/*.c examples/*.c \
		packaging/man/* 2>/dev/null | cksum >$(BUILD)/.sources.new; \
	cmp -s $(BUILD)/.sources.new $(BUILD)/.sources || meson setup --reconfigure $(BUILD) >/dev/null; \
	mv $(BUILD)/.sources.new $(BUILD)/.sources
	@ninja -C $(BUILD) --quiet

# Everything, in under 20 minutes on two cores; ends with "N passed, N failed, N skipped".
check:
	@.ci/deps check
	@tests/checks/matrix.sh

# The release build's unit tests and the static checks only.
quick-check:
	@tests/checks/matrix.sh checks release

system:
	@tests/checks/matrix.sh system

demo: build
	@examples/demo.sh $(BUILD)

bench: build
	$(BUILD)/bench/paging --json=$(BUILD)/paging.json
	bench/fits.sh $(BUILD)

install: build
	meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) build-ci
