#ifndef STOCKADE_LAUNCHER_H
#define STOCKADE_LAUNCHER_H

#include <stdbool.h>

/*
 * Serves the daemon at PROTOCOL_FD until it closes; the exit status of the process. With own_users in a user
 * namespace, for all tasks, whose users the daemon maps once it has heard HELLO.
 */
int run_launcher(bool own_users);

#endif
