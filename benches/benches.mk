# make bench         see bench.c for how to read what it prints
# make bench-loop    the part about the main loop alone
# make bench-log     the part about the log alone
# make bench-stop    the stopping of a daemon alone
# make bench-control the part about the control socket alone
# make bench-seccomp what a promise costs each system call
# make bench-sandbox what a whole sandbox costs at the start
# make bench-notify  what a notification costs, and the loading of the library
# make bench-upgrade what clients see of an upgrade
# make bench-deps    installs with apt-get what is only measured

BENCHES   := target/benches
BENCH_CC   = $(CC) -std=c11 -D_GNU_SOURCE $(CFLAGS) $(WARNINGS) -I$(STAGE)/include
BENCH_RSD  = -L$(STAGE)/lib -lrsdaemon -Wl,-rpath,$(abspath $(STAGE))/lib
# Not empty if a program can be linked with the library.
bench_has  = $(shell echo 'int main(void) { return 0; }' | \
    $(CC) -x c - -o /dev/null -l$(1) 2>/dev/null && echo yes)

# A program of a library: what is not installed is left out, and the runner says so.
define bench_optional
rm -f $(BENCHES)/$(2)
$(if $(call bench_has,$(1)),$(BENCH_CC) $(patsubst %,benches/%.c,$(3)) -o $(BENCHES)/$(2) -l$(1))
endef

.PHONY: bench-loop bench-log bench-control bench-stop bench-seccomp bench-sandbox bench-notify bench-upgrade bench-deps

# Libraries that are measured and not used otherwise. The runners say so of each that is missing.
BENCH_PACKAGES := liblog4c-dev libseccomp-dev libspdlog-dev

bench-deps:
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(BENCH_PACKAGES)

# All is built each time: it takes seconds, and no old program is measured.
bench: stage
	@mkdir -p $(BENCHES)
	$(BENCH_CC) benches/bench.c benches/measure.c -o $(BENCHES)/bench -ldl
	$(BENCH_CC) benches/bare.c -o $(BENCHES)/bare
	$(BENCH_CC) benches/rsdaemon.c -o $(BENCHES)/rsdaemon $(BENCH_RSD)
	$(BENCH_CC) benches/cycle.c benches/cycle_bare.c -o $(BENCHES)/cycle_bare
	$(BENCH_CC) benches/cycle.c benches/cycle_guide.c -o $(BENCHES)/cycle_guide
	$(BENCH_CC) benches/cycle.c benches/cycle_rsdaemon.c -o $(BENCHES)/cycle_rsdaemon $(BENCH_RSD)
	$(BENCH_CC) benches/flags.c -o $(BENCHES)/flags $(BENCH_RSD)
	$(BENCH_CC) benches/load.c -o $(BENCHES)/load -ldl
	$(CC) -shared -fPIC -x c /dev/null -o $(BENCHES)/empty.so
	$(call bench_optional,bsd,libc_libbsd,libc_libbsd)
	$(call bench_optional,bsd,cycle_libbsd,cycle cycle_libbsd)
	$(call bench_optional,daemon,libdaemon,libdaemon)
	$(call bench_optional,daemon,cycle_libdaemon,cycle cycle_libdaemon)
	$(BENCHES)/bench $(BENCHES) $(STAGE)/lib/librsdaemon.so.0
	@$(MAKE) --no-print-directory bench-loop
	@$(MAKE) --no-print-directory bench-log
	@$(MAKE) --no-print-directory bench-stop
	@$(MAKE) --no-print-directory bench-control

# How long the loops are watched doing nothing.
IDLE_SECONDS ?= 60

# The main loop alone: see latency.c, idle.c and command.c for how to read it.
bench-loop: stage
	@mkdir -p $(BENCHES)
	$(BENCH_CC) benches/latency.c benches/waiters.c benches/measure.c benches/share.c -o $(BENCHES)/latency
	$(BENCH_CC) benches/idle.c benches/waiters.c benches/measure.c benches/share.c -o $(BENCHES)/idle
	$(BENCH_CC) benches/command.c benches/measure.c -o $(BENCHES)/command $(BENCH_RSD)
	$(BENCH_CC) benches/waiter.c benches/share.c benches/waiter_bare.c -o $(BENCHES)/waiter_bare
	$(BENCH_CC) benches/waiter.c benches/share.c benches/waiter_rsdaemon.c \
	    -o $(BENCHES)/waiter_rsdaemon $(BENCH_RSD)
	$(call bench_optional,event,waiter_libevent,waiter share waiter_libevent)
	$(call bench_optional,daemon,waiter_libdaemon,waiter share waiter_libdaemon)
	@echo "$$(uname -srm), $$(nproc) CPUs, load $$(cut -d ' ' -f 1-3 /proc/loadavg)"
	$(BENCHES)/latency $(BENCHES)
	$(BENCHES)/idle $(BENCHES) $(IDLE_SECONDS)
	$(BENCHES)/command

# The log alone: see log_file.c and log_syslog.c for how to read it.
bench-log: stage
	@mkdir -p $(BENCHES)
	$(BENCH_CC) benches/log_file.c benches/loggers.c benches/share.c benches/measure.c \
	    -o $(BENCHES)/log_file
	$(BENCH_CC) benches/log_syslog.c benches/loggers.c benches/share.c benches/measure.c \
	    -o $(BENCHES)/log_syslog
	$(BENCH_CC) -pthread benches/logger.c benches/share.c benches/logger_bare.c \
	    -o $(BENCHES)/logger_bare
	$(BENCH_CC) -pthread benches/logger.c benches/share.c benches/logger_rsdaemon.c \
	    -o $(BENCHES)/logger_rsdaemon $(BENCH_RSD)
	$(call bench_optional,log4c,logger_log4c,logger share logger_log4c)
	@# C++, and its parts in C as they are for all others.
	rm -f $(BENCHES)/logger_spdlog
	$(if $(call bench_has,spdlog),$(BENCH_CC) -pthread -c benches/logger.c -o $(BENCHES)/logger.o)
	$(if $(call bench_has,spdlog),$(BENCH_CC) -c benches/share.c -o $(BENCHES)/share.o)
	$(if $(call bench_has,spdlog),$(CXX) -std=c++17 -D_GNU_SOURCE $(CFLAGS) -pthread \
	    -DSPDLOG_COMPILED_LIB -DSPDLOG_FMT_EXTERNAL benches/logger_spdlog.cc $(BENCHES)/logger.o \
	    $(BENCHES)/share.o -o $(BENCHES)/logger_spdlog -lspdlog -lfmt)
	@echo "$$(uname -srm), $$(nproc) CPUs, load $$(cut -d ' ' -f 1-3 /proc/loadavg)"
	$(BENCHES)/log_file $(BENCHES)
	$(BENCHES)/log_syslog $(BENCHES)

# The stopping of a daemon alone: see stop.c for how to read it.
bench-stop: stage
	@mkdir -p $(BENCHES)
	$(BENCH_CC) benches/stop.c benches/measure.c -o $(BENCHES)/stop $(BENCH_RSD)
	@echo "$$(uname -srm), $$(nproc) CPUs, load $$(cut -d ' ' -f 1-3 /proc/loadavg)"
	$(BENCHES)/stop

# What a promise costs each system call: see seccomp.c for how to read it.
bench-seccomp: stage
	@mkdir -p $(BENCHES)
	$(BENCH_CC) -DPROMISES='"$(CURDIR)/docs/promises.md"' $(if $(call bench_has,seccomp),-DHAS_LIBSECCOMP) benches/seccomp.c benches/measure.c \
	    -o $(BENCHES)/seccomp $(BENCH_RSD) $(if $(call bench_has,seccomp),-lseccomp)
	@echo "$$(uname -srm), $$(nproc) CPUs, load $$(cut -d ' ' -f 1-3 /proc/loadavg)"
	$(BENCHES)/seccomp

# What a whole sandbox costs at the start: see sandbox.c for how to read it.
bench-sandbox: stage
	@mkdir -p $(BENCHES)
	$(BENCH_CC) $(if $(call bench_has,seccomp),-DHAS_LIBSECCOMP) benches/sandbox.c benches/measure.c \
	    -o $(BENCHES)/sandbox $(BENCH_RSD) $(if $(call bench_has,seccomp),-lseccomp)
	@echo "$$(uname -srm), $$(nproc) CPUs, load $$(cut -d ' ' -f 1-3 /proc/loadavg)"
	$(BENCHES)/sandbox

# What a notification costs, and the loading of the library: see notify.c for how to read it.
bench-notify: stage
	@mkdir -p $(BENCHES)
	$(BENCH_CC) benches/load.c -o $(BENCHES)/load -ldl
	$(CC) -shared -fPIC -x c /dev/null -o $(BENCHES)/empty.so
	$(BENCH_CC) benches/notify.c benches/measure.c -o $(BENCHES)/notify $(BENCH_RSD) -ldl
	@echo "$$(uname -srm), $$(nproc) CPUs, load $$(cut -d ' ' -f 1-3 /proc/loadavg)"
	$(BENCHES)/notify $(BENCHES)/load $(abspath $(BENCHES))/empty.so $(STAGE)/lib/librsdaemon.so.0

# What clients see of an upgrade: see upgrade.c for how to read it.
bench-upgrade: stage
	@mkdir -p $(BENCHES)
	$(BENCH_CC) c-examples/echo_server.c -o $(BENCHES)/echo_server $(BENCH_RSD)
	$(BENCH_CC) benches/upgrade.c benches/measure.c -o $(BENCHES)/upgrade
	@echo "$$(uname -srm), $$(nproc) CPUs, load $$(cut -d ' ' -f 1-3 /proc/loadavg)"
	$(BENCHES)/upgrade $(BENCHES)/echo_server

# Another librsdaemon.so.0 to compare with: the folder where it is.
OTHER ?=

# The control socket alone: see control.c for how to read it.
bench-control: stage
	@mkdir -p $(BENCHES)
	$(BENCH_CC) benches/control.c benches/measure.c -o $(BENCHES)/control
	$(BENCH_CC) benches/control_server.c benches/control_bare.c -o $(BENCHES)/control_bare
	$(BENCH_CC) benches/control_server.c benches/control_rsdaemon.c -o $(BENCHES)/control_rsdaemon \
	    $(BENCH_RSD)
	$(call bench_optional,event_core,control_libevent,control_server control_libevent)
	@echo "$$(uname -srm), $$(nproc) CPUs, load $$(cut -d ' ' -f 1-3 /proc/loadavg)"
	$(BENCHES)/control $(BENCHES) $(OTHER)
