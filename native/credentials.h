/* Users, groups and capabilities: set, then verified. */
#ifndef STOCKADE_CREDENTIALS_H
#define STOCKADE_CREDENTIALS_H

#include "fault.h"
#include "spec.h"

/* What the process is to be, and nothing else. */
struct identity {
	uid_t uid;
	gid_t gid;
	size_t group_count;
	const gid_t *groups;
	uint64_t capabilities; /* one bit each, permitted and effective */
	bool keep_ids;	       /* a user namespace with one user: ids cannot change */
};

/* What is in it could be had by executing a file; needs CAP_SETPCAP. -1 with errno. */
int clear_bounding_set(void);
int set_ids(const struct identity *identity, struct fault *reterr, enum step step);
/* Takes all of its own from a process, which need not have any. -1 with errno. */
int clear_capabilities(void);
/* Leaves just the identity's capabilities, and no way to gain others. */
int drop_capabilities(const struct identity *identity, struct fault *reterr, enum step step);
int verify_identity(const struct identity *identity, struct fault *reterr, enum step step);

#endif
