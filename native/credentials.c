#define _GNU_SOURCE
#include "credentials.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's headers know of no more; prctl answers EINVAL beyond the running kernel's last. */
enum { CAPABILITIES = 64, GROUPS_MAX = 65536 };

int set_ids(const struct identity *identity, struct fault *reterr, enum step step)
{
	if (identity->keep_ids)
		return 0;
	/* Raw calls: glibc's would try to tell threads that a forked child does not have. */
	if (syscall(SYS_setgroups, identity->group_count, identity->groups) < 0)
		return fail(reterr, step);
	if (syscall(SYS_setresgid, identity->gid, identity->gid, identity->gid) < 0)
		return fail(reterr, step);
	/* The capabilities that stay are cut down below; without this, setresuid takes all. */
	if (prctl(PR_SET_KEEPCAPS, 1) < 0)
		return fail(reterr, step);
	if (syscall(SYS_setresuid, identity->uid, identity->uid, identity->uid) < 0)
		return fail(reterr, step);
	return 0;
}

static int set_capabilities(uint64_t capabilities)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.permitted = (uint32_t)capabilities, .effective = (uint32_t)capabilities},
		{.permitted = (uint32_t)(capabilities >> 32), .effective = (uint32_t)(capabilities >> 32)},
	};

	return (int)syscall(SYS_capset, &header, data);
}

int clear_capabilities(void)
{
	return set_capabilities(0);
}

/* To drop one makes new credentials, which takes far longer than to see that it is not there. */
int clear_bounding_set(void)
{
	for (unsigned long capability = 0; capability < CAPABILITIES; capability++) {
		int held = prctl(PR_CAPBSET_READ, capability);

		if (held < 0 && errno == EINVAL)
			break;
		if (held < 0 || (held > 0 && prctl(PR_CAPBSET_DROP, capability) < 0))
			return -1;
	}
	return 0;
}

int drop_capabilities(const struct identity *identity, struct fault *reterr, enum step step)
{
	/* setresuid has cleared the effective set; dropping the bounding set needs CAP_SETPCAP. */
	if (set_capabilities(identity->capabilities | (1ull << CAP_SETPCAP)) < 0)
		return fail(reterr, step);
	if (clear_bounding_set() < 0)
		return fail(reterr, step);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return fail(reterr, step);
	if (set_capabilities(identity->capabilities) < 0)
		return fail(reterr, step);
	if (prctl(PR_SET_KEEPCAPS, 0) < 0)
		return fail(reterr, step);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(reterr, step);
	return 0;
}

static bool ids_are(const struct identity *identity)
{
	uid_t real_uid, effective_uid, saved_uid;
	gid_t real_gid, effective_gid, saved_gid;

	if (getresuid(&real_uid, &effective_uid, &saved_uid) < 0 ||
	    getresgid(&real_gid, &effective_gid, &saved_gid) < 0)
		return false;
	return real_uid == identity->uid && effective_uid == identity->uid && saved_uid == identity->uid &&
	       real_gid == identity->gid && effective_gid == identity->gid && saved_gid == identity->gid;
}

static bool groups_are(const struct identity *identity)
{
	static gid_t groups[GROUPS_MAX];
	long count = syscall(SYS_getgroups, GROUPS_MAX, groups);

	if (count < 0 || (size_t)count != identity->group_count)
		return false;
	/* The kernel keeps them sorted. */
	for (size_t i = 0; i < identity->group_count; i++) {
		bool found = false;

		for (long k = 0; k < count; k++)
			found = found || groups[k] == identity->groups[i];
		if (!found)
			return false;
	}
	return true;
}

static bool capabilities_are(uint64_t capabilities)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	for (int half = 0; half < 2; half++) {
		uint32_t wanted = (uint32_t)(capabilities >> (32 * half));

		if (data[half].permitted != wanted || data[half].effective != wanted ||
		    data[half].inheritable != 0)
			return false;
	}
	for (unsigned long capability = 0; capability < CAPABILITIES; capability++) {
		int held = prctl(PR_CAPBSET_READ, capability);

		if (held < 0 && errno == EINVAL)
			break;
		if (held != 0)
			return false;
	}
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

int verify_identity(const struct identity *identity, struct fault *reterr, enum step step)
{
	bool groups = identity->keep_ids || groups_are(identity);

	if (!ids_are(identity) || !groups || !capabilities_are(identity->capabilities))
		return fail_with(reterr, step, EPERM);
	return 0;
}
