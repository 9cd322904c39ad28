#ifndef STOCKADE_LAUNCHER_H
#define STOCKADE_LAUNCHER_H

/* Serves the daemon at PROTOCOL_FD until it closes; the exit status of the process. */
int run_launcher(void);

#endif
