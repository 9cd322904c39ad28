/* stockade-helper: what the daemon does by a process of C. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "anchor.h"
#include "idmap.h"
#include "launcher.h"
#include "notify.h"
#include "process.h"
#include "protocol.h"

enum { EXIT_LOCKED = 0, EXIT_HELD = 1, EXIT_FAILED = 2 };
enum { EXIT_CAN = 0, EXIT_CANNOT = 1 };

/* The lock belongs to the open file, which the daemon keeps when this process has gone. */
static int lock_inherited(void)
{
	if (flock(PROTOCOL_FD, LOCK_EX | LOCK_NB) == 0)
		return EXIT_LOCKED;
	return errno == EWOULDBLOCK ? EXIT_HELD : EXIT_FAILED;
}

/* Of the inherited directory's file system; the daemon is told by the exit status. */
static int idmap_inherited(void)
{
	return can_idmap(PROTOCOL_FD) ? EXIT_CAN : EXIT_CANNOT;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "lock") == 0)
		return lock_inherited();
	if (argc == 2 && strcmp(argv[1], "idmap") == 0)
		return idmap_inherited();
	if (argc >= 2 && argc <= 3 && strcmp(argv[1], "launcher") == 0) {
		bool own_users = argc == 3 && strcmp(argv[2], "user-namespace") == 0;

		remember_arguments(argc, argv);
		return run_launcher(own_users);
	}
	if (argc == 2 && strcmp(argv[1], "anchor") == 0)
		return run_anchor();
	if (argc == 2 && strcmp(argv[1], "notify") == 0) {
		if (notify_ready() == 0)
			return 0;
		perror("stockade-helper: cannot notify the service manager");
		return EXIT_FAILED;
	}
	(void)fprintf(stderr,
		      "usage: stockade-helper launcher [user-namespace] | lock | idmap  "
		      "(run by stockaded, with descriptor 3)\n"
		      "       stockade-helper anchor | notify  (run by systemd, and by what it runs)\n");
	return EXIT_FAILED;
}
