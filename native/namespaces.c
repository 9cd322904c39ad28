/* What is set in new namespaces: ids, host name, loopback. */
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel.h"
#include "sandbox.h"

static int write_file(const char *path, const char *text, struct fault *reterr)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return fault_errno(reterr);
	ssize_t written = write(fd, text, strlen(text));
	int error = written < 0 ? errno : EIO;
	close_fd(&fd);
	return written == (ssize_t)strlen(text) ? 0 : fault_is(reterr, error);
}

/* user_namespaces(7): a process may map its own ids alone, and the gid once setgroups is denied. */
int namespaces_map_own_ids(uid_t uid, gid_t gid, struct fault *reterr)
{
	char map[80];
	char number[32];

	if (write_file("/proc/self/setgroups", "deny", reterr) < 0)
		return -1;
	for (int i = 0; i < 2; i++) {
		format_u64(i == 0 ? uid : gid, number);
		strcpy(map, number);
		strcat(map, " ");
		strcat(map, number);
		strcat(map, " 1\n");
		if (write_file(i == 0 ? "/proc/self/uid_map" : "/proc/self/gid_map", map, reterr) < 0)
			return -1;
	}
	return 0;
}

int namespaces_set_hostname(const char *name, struct fault *reterr)
{
	return sethostname(name, strlen(name)) < 0 ? fault_errno(reterr) : 0;
}

int namespaces_raise_loopback(struct fault *reterr)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fault_errno(reterr);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	int result = ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? fault_errno(reterr) : 0;
	close_fd(&fd);
	return result;
}
