# make          the library as it ships, in target/ship
# make install  DESTDIR= PREFIX= LIBDIR=
# make help     the rest

VERSION  := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
SONAME   := librsdaemon.so.0
SHARED   := librsdaemon.so.$(basename $(VERSION))
PREFIX   ?= /usr/local
LIBDIR   ?= $(PREFIX)/lib
CC       ?= cc
CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Wpedantic -Werror

MAP      := src/rsdaemon.map
SHIP     := target/ship
STAGE    := $(CURDIR)/target/stage
SOURCES  := Cargo.toml build.rs cbindgen.toml $(MAP) $(shell find src -name '*.rs' -o -name '*.c')
EXAMPLES := $(patsubst c-examples/%.c,target/examples/%,$(wildcard c-examples/*.c))
# The names in the map are the only list of what is exported.
EXPORTS  := $(shell sed -n 's/^ *\([a-z_]*\);/\1/p' $(MAP))
DROP_IN  := daemonize install_signal_flags lock_pidfile

.PHONY: all install uninstall header examples demo deps stage test lint oldest bench clean help

all: $(SHIP)/librsdaemon.a $(SHIP)/$(SHARED)

help:
	@echo "make                build the library into $(SHIP)"
	@echo "make install        install it (DESTDIR, PREFIX, LIBDIR)"
	@echo "make uninstall      remove what install put there"
	@echo "make examples       build c-examples against the library in the tree"
	@echo "make demo           run a daemon from start to stop and check each step"
	@echo "make deps test      install what the tests use (apt), and run them"
	@echo "make oldest         build and run the examples with the oldest compiler that will do (root, debootstrap)"
	@echo "make bench          measure against hand-written C and other libraries"
	@echo "make bench-loop     the main loop alone"
	@echo "make bench-log      the log alone"
	@echo "make bench-stop     the stopping of a daemon alone"
	@echo "make bench-control  the control socket alone"
	@echo "make header         write include/rsdaemon.h from the sources"

# --- the shipping form -------------------------------------------------------------------------

# One relocatable object of all that the exported names reach. GNU ld, since others keep dead code.
# Nothing that can panic may be in it: that would bring in 280 KB of unwinding and printing.
$(SHIP)/rsdaemon.o: $(SOURCES)
	cargo rustc --release --lib --crate-type staticlib
	@mkdir -p $(SHIP)
	ld.bfd -r --gc-sections $(addprefix -u ,$(EXPORTS)) target/release/librsdaemon.a -o $@.all
	@if nm $@.all | grep -E 'rust_begin_unwind|core9panicking'; then \
	    echo "something that is exported can panic: see the names above" >&2; exit 1; fi
	objcopy $(addprefix --keep-global-symbol=,$(EXPORTS)) $@.all
	strip --strip-unneeded $@.all
	mv $@.all $@

# The drop-in names are weak here, so that a program may have functions of the same names.
$(SHIP)/librsdaemon.a: $(SHIP)/rsdaemon.o
	objcopy $(addprefix --weaken-symbol=,$(DROP_IN)) $< $(SHIP)/rsdaemon-static.o
	rm -f $@
	ar rcs $@ $(SHIP)/rsdaemon-static.o

# Code and constants share a segment, which saves two pages of padding.
$(SHIP)/$(SHARED): $(SHIP)/rsdaemon.o $(MAP)
	$(CC) -shared $< -o $@ -Wl,-soname,$(SONAME) -Wl,--version-script=$(MAP) \
	    -Wl,--gc-sections -Wl,--as-needed -Wl,-z,relro,-z,now,-z,nodelete,-z,defs -Wl,-s \
	    -Wl,-z,noseparate-code
	ln -sf $(SHARED) $(SHIP)/$(SONAME)
	ln -sf $(SONAME) $(SHIP)/librsdaemon.so
	@size=$$(stat -c %s $@); \
	peer=$$(stat -L -c %s /usr/lib/*/libdaemon.so.0 2>/dev/null | head -n 1); \
	awk -v size=$$size -v peer=$${peer:-0} 'BEGIN { \
	    printf "$(SHARED): %d bytes", size; \
	    if (peer) printf ", %.2f times libdaemon.so.0 (%d bytes)", size / peer, peer; \
	    else printf " (libdaemon.so.0 is not installed to compare)"; print "" }'

install: all
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 644 include/rsdaemon.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 $(SHIP)/librsdaemon.a $(DESTDIR)$(LIBDIR)/
	install -m 755 $(SHIP)/$(SHARED) $(DESTDIR)$(LIBDIR)/
	ln -sf $(SHARED) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/librsdaemon.so
	printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$${prefix}/include' '' \
	    'Name: rsdaemon' 'Description: What a C program needs to be a daemon' \
	    'Version: $(VERSION)' 'Libs: -L$${libdir} -lrsdaemon' 'Cflags: -I$${includedir}' \
	    > $(DESTDIR)$(LIBDIR)/pkgconfig/rsdaemon.pc
	chmod 644 $(DESTDIR)$(LIBDIR)/pkgconfig/rsdaemon.pc

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/include/rsdaemon.h $(DESTDIR)$(LIBDIR)/librsdaemon.a \
	    $(DESTDIR)$(LIBDIR)/$(SHARED) $(DESTDIR)$(LIBDIR)/$(SONAME) \
	    $(DESTDIR)$(LIBDIR)/librsdaemon.so $(DESTDIR)$(LIBDIR)/pkgconfig/rsdaemon.pc

header:
	cargo build
	cp "$$(ls -t target/debug/build/rsdaemon-*/out/rsdaemon.h | head -n 1)" include/rsdaemon.h

# --- examples and tests ------------------------------------------------------------------------

examples: $(EXAMPLES)

# What an example needs besides the library. Where that is not installed, it is left out.
target/examples/libevent_loop: NEEDED := libevent_core
target/examples/glib_loop: NEEDED := glib-2.0
target/examples/security_scanner: NEEDED := yaml-0.1

target/examples/%: c-examples/%.c $(SHIP)/$(SHARED) include/rsdaemon.h
	@mkdir -p target/examples
	@if [ -n "$(NEEDED)" ] && ! pkg-config --exists $(NEEDED); then \
	    echo "SKIPPED: $<: pkg-config does not find $(NEEDED)" >&2; \
	    [ -z "$$RSDAEMON_TEST_STRICT" ]; exit; \
	fi; \
	set -x; $(CC) -std=c11 $(CFLAGS) $(WARNINGS) -Iinclude $< -o $@ \
	    -L$(SHIP) -lrsdaemon -Wl,-rpath,$(CURDIR)/$(SHIP) \
	    $(if $(NEEDED),$$(pkg-config --cflags --libs $(NEEDED)))

demo: examples
	@sh c-examples/demo.sh target/examples

# The library as an administrator would install it; the tests compile against this.
stage: all
	@$(MAKE) --no-print-directory install DESTDIR= PREFIX=$(STAGE) LIBDIR=$(STAGE)/lib >/dev/null

PACKAGES := binutils busybox debootstrap g++ gcc libbsd-dev libdaemon-dev libevent-dev libglib2.0-dev libyaml-dev logrotate musl-tools nmap pkgconf \
    rsyslog runit s6 strace systemd user-mode-linux util-linux valgrind

deps:
	@echo "installing with apt-get what the tests use: $(PACKAGES)"
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(PACKAGES)

lint:
	cargo fmt --check
	cargo clippy --release --all-targets -- -D warnings

# In a process namespace of its own where that is allowed: whatever a test leaves behind ends.
NEST := $(shell unshare --pid --fork --mount-proc --kill-child true 2>/dev/null && \
    echo unshare --pid --fork --mount-proc --kill-child)
TESTS := $(NEST) env RSDAEMON_PREFIX=$(STAGE) cargo test --release --no-fail-fast
# The faults are injected by ptrace, which valgrind is in the way of.
C_TESTS := $(patsubst tests/%.rs,--test %,$(filter-out tests/faults.rs,$(wildcard tests/*.rs)))

test: stage examples lint
	@[ -n "$(NEST)" ] || echo "no process namespace here: a failing test may leave a daemon behind"
	$(TESTS)
	@echo "--- the same C programs with AddressSanitizer and UndefinedBehaviorSanitizer"
	RSDAEMON_TEST_WITH=sanitizers $(TESTS) $(C_TESTS)
	@if command -v valgrind >/dev/null; then \
	    echo "--- the same C programs under valgrind"; rm -rf target/tmp/valgrind; \
	    RSDAEMON_TEST_WITH=valgrind $(TESTS) $(C_TESTS) || exit 1; \
	    found=$$(grep -l '^==[0-9]*==' target/tmp/valgrind/*); \
	    echo "valgrind: $$(ls target/tmp/valgrind | wc -l) processes"; \
	    if [ -n "$$found" ]; then cat $$found; exit 1; fi; \
	elif [ -n "$$RSDAEMON_TEST_STRICT" ]; then \
	    echo "valgrind is not installed" >&2; exit 1; \
	else echo "SKIPPED: valgrind is not installed"; fi

# The library and its examples with the oldest compiler that Cargo.toml names, which is that of Debian 13, in a folder that
# debootstrap makes. Needs root, and no network but Debian's.
OLDEST := target/oldest

oldest:
	cargo fetch --quiet
	[ -e $(OLDEST)/made ] || { rm -rf $(OLDEST); debootstrap --variant=minbase \
	    --include=binutils,cargo,gcc,libc6-dev,make trixie $(OLDEST) > target/oldest.log && touch $(OLDEST)/made; }
	rm -rf $(OLDEST)/source
	mkdir -p $(OLDEST)/source $(OLDEST)/cargo
	tar -c --exclude=./target --exclude=./.git . | tar -x -C $(OLDEST)/source
	unshare --mount --pid --fork --kill-child sh -ec 'cd $(OLDEST); mount -t proc proc proc; mount --bind /dev dev; \
	    mount --bind "$${CARGO_HOME:-$$HOME/.cargo}" cargo; exec chroot . env -i PATH=/usr/sbin:/usr/bin HOME=/ \
	    CARGO_HOME=/cargo CARGO_NET_OFFLINE=true CARGO_TERM_COLOR=never make -C source demo'

-include benches/benches.mk

clean:
	cargo clean
