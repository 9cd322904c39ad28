/* Users, groups, capabilities: set, then verified by asking the kernel. */
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox.h"

#define CAPABILITY_WORDS 2

/* The kernel's NGROUPS_MAX. */
#define GROUPS_MAX 65536

static int read_capabilities(struct __user_cap_data_struct data[CAPABILITY_WORDS])
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	return (int)syscall(SYS_capget, &header, data);
}

static int write_capabilities(const struct __user_cap_data_struct data[CAPABILITY_WORDS])
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	return (int)syscall(SYS_capset, &header, data);
}

/* Raw calls: the C library's wrappers would look for other threads, of which there are none. */
static int set_ids(uint32_t uid, uint32_t gid, const uint32_t *groups, size_t group_count, struct fault *reterr)
{
	if (syscall(SYS_setgroups, group_count, groups) < 0 || syscall(SYS_setresgid, gid, gid, gid) < 0 ||
	    syscall(SYS_setresuid, uid, uid, uid) < 0)
		return fault_errno(reterr);
	return 0;
}

/* Capabilities are kept over the change of user: dropping the bounding set needs one of them. */
int credentials_set_user(const struct sandbox *box, struct fault *reterr)
{
	const struct create_spec *spec = box->spec;
	if (prctl(PR_SET_KEEPCAPS, 1L, 0L, 0L, 0L) < 0)
		return fault_errno(reterr);
	if (box->single_id)
		return 0;
	return set_ids(spec->uid, spec->gid, spec->groups, spec->group_count, reterr);
}

/* Leaves the given set as permitted and effective, and nothing that could bring back more. */
static int drop_all_but(uint32_t keep, struct fault *reterr)
{
	struct __user_cap_data_struct data[CAPABILITY_WORDS];
	if (read_capabilities(data) < 0)
		return fault_errno(reterr);
	for (int i = 0; i < CAPABILITY_WORDS; i++)
		data[i].effective = data[i].permitted;
	if (write_capabilities(data) < 0)
		return fault_errno(reterr);
	/* The kernel may know more capabilities than the headers; it says where they end. */
	for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0L, 0L, 0L) >= 0; capability++)
		if (prctl(PR_CAPBSET_DROP, capability, 0L, 0L, 0L) < 0)
			return fault_at(reterr, (uint32_t)capability);
	if (prctl(PR_CAP_AMBIENT, (long)PR_CAP_AMBIENT_CLEAR_ALL, 0L, 0L, 0L) < 0)
		return fault_errno(reterr);
	memset(data, 0, sizeof(data));
	data[0].permitted = data[0].effective = keep;
	if (write_capabilities(data) < 0)
		return fault_errno(reterr);
	if (prctl(PR_SET_KEEPCAPS, 0L, 0L, 0L, 0L) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0)
		return fault_errno(reterr);
	return 0;
}

int credentials_drop_capabilities(struct fault *reterr)
{
	return drop_all_but(0, reterr);
}

static int verify_capabilities(uint32_t expected, struct fault *reterr)
{
	struct __user_cap_data_struct data[CAPABILITY_WORDS];
	if (read_capabilities(data) < 0)
		return fault_errno(reterr);
	bool right = data[0].permitted == expected && data[0].effective == expected && data[0].inheritable == 0 &&
		     data[1].permitted == 0 && data[1].effective == 0 && data[1].inheritable == 0;
	for (unsigned long capability = 0;; capability++) {
		int bounding = prctl(PR_CAPBSET_READ, capability, 0L, 0L, 0L);
		if (bounding < 0)
			break;
		right = right && bounding == 0;
	}
	right = right && prctl(PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L) == 1;
	return right ? 0 : fault_is(reterr, EPERM);
}

static int verify_ids(uint32_t uid, uint32_t gid, struct fault *reterr)
{
	uid_t uids[3];
	gid_t gids[3];
	if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 || getresgid(&gids[0], &gids[1], &gids[2]) < 0)
		return fault_errno(reterr);
	for (int i = 0; i < 3; i++)
		if (uids[i] != uid || gids[i] != gid)
			return fault_is(reterr, EPERM);
	return 0;
}

/* The kernel sorts groups and keeps doubles: equal counts, and each one is in the other list. */
static int verify_groups(const uint32_t *expected, uint32_t count, struct fault *reterr)
{
	static gid_t groups[GROUPS_MAX];
	int found = getgroups(GROUPS_MAX, groups);
	if (found < 0)
		return fault_errno(reterr);
	if ((uint32_t)found != count)
		return fault_is(reterr, EPERM);
	for (uint32_t i = 0; i < count; i++) {
		bool is_there = false;
		bool was_wanted = false;
		for (uint32_t j = 0; j < count; j++) {
			is_there = is_there || groups[j] == expected[i];
			was_wanted = was_wanted || expected[j] == groups[i];
		}
		if (!is_there || !was_wanted) {
			errno = EPERM;
			return fault_at(reterr, i);
		}
	}
	return 0;
}

int credentials_verify_user(const struct sandbox *box, struct fault *reterr)
{
	const struct create_spec *spec = box->spec;
	uint32_t uid = box->single_id ? box->owner_uid : spec->uid;
	uint32_t gid = box->single_id ? box->owner_gid : spec->gid;
	if (verify_ids(uid, gid, reterr) < 0 || verify_capabilities(0, reterr) < 0)
		return -1;
	/* Where setgroups is denied the owner's groups stay; the daemon reports that. */
	return box->single_id ? 0 : verify_groups(spec->groups, spec->group_count, reterr);
}

#define INIT_CAPABILITIES (1u << CAP_KILL)

int credentials_drop_init(const struct sandbox *box, struct fault *reterr)
{
	uint32_t id = box->spec->init_uid;
	if (prctl(PR_SET_KEEPCAPS, 1L, 0L, 0L, 0L) < 0)
		return fault_errno(reterr);
	if (!box->single_id && set_ids(id, id, NULL, 0, reterr) < 0)
		return -1;
	if (drop_all_but(INIT_CAPABILITIES, reterr) < 0)
		return -1;
	/* Last: a change of ids sets it back (prctl(2)). */
	return prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) < 0 ? fault_errno(reterr) : 0;
}

int credentials_verify_init(const struct sandbox *box, struct fault *reterr)
{
	uint32_t uid = box->single_id ? box->owner_uid : box->spec->init_uid;
	uint32_t gid = box->single_id ? box->owner_gid : box->spec->init_uid;
	if (verify_ids(uid, gid, reterr) < 0 || verify_capabilities(INIT_CAPABILITIES, reterr) < 0)
		return -1;
	if (!box->single_id && verify_groups(NULL, 0, reterr) < 0)
		return -1;
	return prctl(PR_GET_DUMPABLE, 0L, 0L, 0L, 0L) == 0 ? 0 : fault_is(reterr, EPERM);
}
