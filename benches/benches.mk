# make bench    see bench.c for how to read what it prints

BENCHES   := target/benches
BENCH_CC   = $(CC) -std=c11 -D_GNU_SOURCE $(CFLAGS) $(WARNINGS) -I$(STAGE)/include
BENCH_RSD  = -L$(STAGE)/lib -lrsdaemon -Wl,-rpath,$(abspath $(STAGE))/lib
# Not empty if a program can be linked with the library.
bench_has  = $(shell echo 'int main(void) { return 0; }' | \
    $(CC) -x c - -o /dev/null -l$(1) 2>/dev/null && echo yes)

# Two programs per library: what is not installed is left out, and the runner says so.
define bench_optional
rm -f $(addprefix $(BENCHES)/,$(2) $(3))
$(if $(call bench_has,$(1)),$(BENCH_CC) benches/$(2).c -o $(BENCHES)/$(2) -l$(1))
$(if $(call bench_has,$(1)),$(BENCH_CC) benches/cycle.c benches/$(3).c -o $(BENCHES)/$(3) -l$(1))
endef

# All is built each time: it takes seconds, and no old program is measured.
bench: stage
	@mkdir -p $(BENCHES)
	$(BENCH_CC) benches/bench.c -o $(BENCHES)/bench -ldl
	$(BENCH_CC) benches/bare.c -o $(BENCHES)/bare
	$(BENCH_CC) benches/rsdaemon.c -o $(BENCHES)/rsdaemon $(BENCH_RSD)
	$(BENCH_CC) benches/cycle.c benches/cycle_bare.c -o $(BENCHES)/cycle_bare
	$(BENCH_CC) benches/cycle.c benches/cycle_guide.c -o $(BENCHES)/cycle_guide
	$(BENCH_CC) benches/cycle.c benches/cycle_rsdaemon.c -o $(BENCHES)/cycle_rsdaemon $(BENCH_RSD)
	$(BENCH_CC) benches/flags.c -o $(BENCHES)/flags $(BENCH_RSD)
	$(BENCH_CC) benches/load.c -o $(BENCHES)/load -ldl
	$(CC) -shared -fPIC -x c /dev/null -o $(BENCHES)/empty.so
	$(call bench_optional,bsd,libc_libbsd,cycle_libbsd)
	$(call bench_optional,daemon,libdaemon,cycle_libdaemon)
	$(BENCHES)/bench $(BENCHES) $(STAGE)/lib/librsdaemon.so.0
