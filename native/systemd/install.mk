# What a host gets of Stockade, below PREFIX; DESTDIR goes before it all where a package is made.
PREFIX = /usr/local
LIBDIR = $(PREFIX)/lib/stockade
# Where systemd looks: below /usr, /usr/local and /etc alone.
UNITDIR = $(PREFIX)/lib/systemd/system
UNITS := $(notdir $(wildcard native/systemd/*.service))
LINKS := stockaded stockade

.PHONY: install uninstall

# Made beside what is there, and put in its place whole: a daemon that runs meanwhile finds its files, of one version.
install: export lib := $(DESTDIR)$(LIBDIR)
install: build
	@umask 022 && rm -rf "$$lib.new" "$$lib.old" && mkdir -p "$$lib.new"
	@{ printf '%s\n' dist/bin dist/js proto package.json LICENSE && \
		npm ls --omit=dev --all --parseable | sed -n 's|^$(CURDIR)/||p'; } | \
		tar -cf - -T - | tar -C "$$lib.new" --no-same-owner -xf -
	@test -d "$$lib.new/node_modules" || { echo "cannot find the packages that the daemon needs" >&2; exit 1; }
	@chmod -R u=rwX,go=rX "$$lib.new"
	@if [ -e "$$lib" ]; then mv "$$lib" "$$lib.old"; fi
	@mv "$$lib.new" "$$lib" && rm -rf "$$lib.old"
	@umask 022 && mkdir -p "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(UNITDIR)"
	@for name in $(LINKS); do ln -sfn "$(LIBDIR)/dist/bin/$$name" "$(DESTDIR)$(PREFIX)/bin/$$name" || exit; done
	@for unit in $(UNITS); do \
		sed 's|@lib@|$(LIBDIR)|' native/systemd/$$unit >"$(DESTDIR)$(UNITDIR)/$$unit" && \
		chmod 644 "$(DESTDIR)$(UNITDIR)/$$unit" || exit; \
	done

# Records and logs in /var/lib/stockade stay.
uninstall:
	rm -rf "$(DESTDIR)$(LIBDIR)"
	rm -f $(LINKS:%="$(DESTDIR)$(PREFIX)/bin/%") $(UNITS:%="$(DESTDIR)$(UNITDIR)/%")
