/* What a service manager is told by the services that it has started: sd_notify(3). */
#ifndef STOCKADE_NOTIFY_H
#define STOCKADE_NOTIFY_H

/*
 * Says that the service serves, to the socket that NOTIFY_SOCKET names; 0 where there is none. Returns when the
 * manager has taken it. -1 with errno.
 */
int notify_ready(void);

#endif
