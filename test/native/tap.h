/* A test program says one line a check, in the Test Anything Protocol, and
 * exits 1 if one failed. */
#ifndef STOCKADE_TAP_H
#define STOCKADE_TAP_H

#include <stdbool.h>
#include <stdio.h>

static int tap_count, tap_failed;

static inline void check(bool holds, const char *what)
{
	tap_count++;
	tap_failed += holds ? 0 : 1;
	printf("%s %d - %s\n", holds ? "ok" : "not ok", tap_count, what);
}

static inline int tap_end(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed > 0;
}

#endif
