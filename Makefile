# What people and continuous integration run; each target starts with what it needs.
.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
.PHONY: build contract demo docs test test-long lint format clean preflight
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
# Else it is in the user's home directory, and stays there.
export BUF_CACHE_DIR := $(CURDIR)/.cache/buf

SOURCES := $(shell find src -name '*.ts' -not -path 'src/gen/*')
PROTOS := $(shell find proto -name '*.proto')
API_REFERENCE := buf build -o -\#format=json | node docs/api-reference.mjs
# The API as last released, which proto/ may add to, and nothing else.
CONTRACT := proto/released.txtpb
C_FORMAT := clang-format
C_FILES := $(shell find native test/native test/fixtures bench -name '*.[ch]')
PROGRAMS := dist/bin/stockaded dist/bin/stockade dist/bin/stockade-helper

build: preflight $(PROGRAMS) dist/js/.stamp dist/esm/.stamp

include native/native.mk
include bench/bench.mk
include native/systemd/install.mk

# Says in one line what must be installed first, before a compiler would in many.
preflight:
	@.ci/preflight

node_modules/.stamp: package-lock.json | preflight
	npm ci --no-audit --no-fund
	@touch $@

src/gen/.stamp: $(PROTOS) buf.yaml buf.gen.yaml node_modules/.stamp
	rm -rf src/gen
	buf generate --include-imports --exclude-path proto/grpc
	@printf '/** A google.protobuf.FileDescriptorSet of proto/, with its comments, in base64. */\nexport const DESCRIPTORS =\n  "%s";\n' \
		"$$(buf build -o -#format=binpb | base64 -w 0)" >src/gen/descriptors.ts
	@touch $@

dist/js/.stamp: $(SOURCES) tsconfig.json src/gen/.stamp
	tsc
	@touch $@

# The SDK once more, and the generated code that it needs, as ES modules.
dist/esm/.stamp: $(SOURCES) tsconfig.json src/client/tsconfig.json src/gen/.stamp
	tsc -p src/client
	@echo '{ "type": "module" }' >dist/esm/package.json
	@touch $@

dist/bin/stockaded: ENTRY := main.js
# What a message was sent from is free at the next scavenge, and adds to the heap's size until then. With the default
# of 16 MiB that is so long that each 25 MB of logs have the whole heap marked; docs/decisions.md has the figures.
dist/bin/stockaded: NODE := -S node --max-semi-space-size=2
dist/bin/stockade: ENTRY := cli/main.js
dist/bin/stockade: NODE := node
dist/bin/stockaded dist/bin/stockade: Makefile
	@mkdir -p $(@D)
	@printf '#!/usr/bin/env %s\nrequire("../js/%s");\n' '$(NODE)' $(ENTRY) >$@
	@chmod 755 $@

$(NATIVE_OBJECTS): | preflight

demo: build
	dist/bin/stockade demo

test: build native-test
	@.ci/preflight openssl
	jest './test/(?!(chaos|long)/)'

# What takes longer than ten minutes.
test-long: build
	jest --testTimeout 600000 './test/(chaos|long)/'

# The helper is built first: its warnings are errors.
lint: preflight node_modules/.stamp src/gen/.stamp dist/bin/stockade-helper
	@.ci/preflight clang-format
	tsc -p test
	eslint --max-warnings 0 .
	prettier --check --log-level warn .
	buf lint
	buf breaking --against $(CONTRACT)
	$(API_REFERENCE) | diff docs/api.md -
	typedoc --options docs/typedoc.json --emit none --logLevel Warn
	$(C_FORMAT) --dry-run -Werror $(C_FILES)
	jest test/structure

# At a release, once package.json has its version: what clients rely on from then on.
contract: node_modules/.stamp
	buf breaking --against $(CONTRACT)
	buf build --path proto/executor --exclude-source-info -o $(CONTRACT)
	sed -i "1i # The API of Stockade $$(node -p 'require("./package.json").version'), made by \`make contract\` at its release." $(CONTRACT)

# The API's reference, which is committed, and the SDK's, in dist/docs; a warning is an error.
docs: node_modules/.stamp src/gen/.stamp
	$(API_REFERENCE) >docs/api.md
	typedoc --options docs/typedoc.json

format: node_modules/.stamp
	@.ci/preflight clang-format
	eslint --fix . || true
	prettier --write --log-level warn .
	$(C_FORMAT) -i $(C_FILES)

clean:
	rm -rf dist src/gen node_modules/.stamp
