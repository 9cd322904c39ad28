# What `make bench` runs: programs of C beside the compiled scripts.
BENCH_PROGRAMS := dist/bench/floor dist/bench/spawn dist/bench/turns.so
BENCH_OBJECTS := $(filter-out dist/obj/main.o,$(NATIVE_OBJECTS))

dist/bench/%: bench/%.c $(BENCH_OBJECTS) bench/bench.mk
	@mkdir -p $(@D)
	gcc $(NATIVE_FLAGS) -static -o $@ $< $(BENCH_OBJECTS)

dist/bench/turns.so: bench/turns.c bench/bench.mk native/native.mk | preflight
	@mkdir -p $(@D)
	gcc $(NATIVE_FLAGS) -fPIC -shared -o $@ $<

dist/bench/.stamp: $(wildcard bench/*.ts bench/*/*.ts) bench/tsconfig.json dist/js/.stamp
	tsc -p bench
	@touch $@

.PHONY: bench bench-build soak
bench-build: build $(BENCH_PROGRAMS) dist/bench/.stamp

# BENCH_ARGS=--quick: in about a minute, and coarser; BENCH_ARGS="--only hostile": nothing else.
bench: bench-build
	node dist/bench/bench/main.js $(BENCH_ARGS)

# MINUTES: how long.
MINUTES := 10
soak: build dist/bench/.stamp
	node dist/bench/bench/soak.js $(MINUTES)
