# The helper: one static program of C.
NATIVE_SOURCES := $(wildcard native/*.c)
NATIVE_HEADERS := $(wildcard native/*.h) native/steps.def
NATIVE_OBJECTS := $(NATIVE_SOURCES:native/%.c=dist/obj/%.o)
NATIVE_WARNINGS := -Wall -Wextra -Werror -Wshadow -Wconversion -Wswitch-enum \
	-Wmissing-prototypes -Wformat=2
NATIVE_FLAGS := -std=gnu11 -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2 \
	-fstack-clash-protection $(NATIVE_WARNINGS)

dist/bin/stockade-helper: $(NATIVE_OBJECTS)
	@mkdir -p $(@D)
	gcc -static -Wl,-z,relro,-z,now,-z,noexecstack -o $@ $^

dist/obj/%.o: native/%.c $(NATIVE_HEADERS) native/native.mk | preflight
	@mkdir -p $(@D)
	gcc $(NATIVE_FLAGS) -c -o $@ $<

# Each test/native/<name>.c is a program of its own, with everything of the helper but main.
NATIVE_TESTS := $(patsubst test/native/%.c,dist/test/%,$(wildcard test/native/*.c))
NATIVE_TESTED := $(filter-out native/main.c,$(NATIVE_SOURCES))

dist/test/%: test/native/%.c $(wildcard test/native/*.h) $(NATIVE_SOURCES) $(NATIVE_HEADERS) native/native.mk | preflight
	@mkdir -p $(@D)
	gcc -std=gnu11 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all \
		$(NATIVE_WARNINGS) -Inative -o $@ $< $(NATIVE_TESTED)

.PHONY: native-test
native-test: $(NATIVE_TESTS)
	@for test in $^; do $$test || exit 1; done
