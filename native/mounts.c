#define _GNU_SOURCE
#include "mounts.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol.h"
#include "sys.h"

/* sys/mount.h and linux/mount.h cannot both be included with older C libraries. */
#define MS_REC_FLAG 16384ul
#define MS_PRIVATE_FLAG (1ul << 18)
#define MNT_DETACH_FLAG 2

enum { VALUE_SIZE = 32 };

/* The device nodes of a task, by bind: mknod needs what a user namespace does not give. */
static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};

static const struct {
	const char *name;
	const char *target;
} dev_links[] = {
	{"ptmx", "pts/ptmx"},	       {"fd", "/proc/self/fd"},	      {"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
};

int make_mounts_private(struct fault *reterr)
{
	if (syscall(SYS_mount, NULL, "/", NULL, MS_REC_FLAG | MS_PRIVATE_FLAG, NULL) < 0)
		return fail(reterr, STEP_MAKE_PRIVATE);
	return 0;
}

/* Attaches a detached mount at a descriptor and closes both. */
static int attach(int tree, int target)
{
	int result = tree < 0 || target < 0 ? -1 : sys_move_mount(tree, target);

	close_fd(&tree);
	close_fd(&target);
	return result;
}

static int set_attributes(int tree, uint64_t attributes, bool recursive)
{
	struct mount_attr attr = {.attr_set = attributes};

	return sys_mount_setattr(tree, recursive ? AT_RECURSIVE : 0, &attr);
}

/* What is at the descriptor, as a detached copy of its mounts; closes it. -1 with errno. */
static int clone_tree(int place, unsigned int flags)
{
	int tree = place < 0 ? -1
			     : sys_open_tree(place, "",
					     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags);

	close_fd(&place);
	return tree;
}

static int clone_source(const struct mount_spec *mount, bool *ret_is_directory)
{
	struct stat status;
	int tree = clone_tree(open_real(mount->source, O_PATH), AT_RECURSIVE);

	if (tree >= 0 && fstat(tree, &status) < 0)
		close_fd(&tree);
	if (tree >= 0)
		*ret_is_directory = S_ISDIR(status.st_mode);
	return tree;
}

static int mount_bind(const struct mount_spec *mount, int root)
{
	uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
	bool is_directory = true;
	int tree;

	if (mount->flags & MOUNT_READ_ONLY)
		attributes |= MOUNT_ATTR_RDONLY;
	if (mount->flags & MOUNT_LINK) {
		/* What embed.c made, over itself. What it skipped is not there. */
		int place =
			open_beneath(root, mount->target + strspn(mount->target, "/"), O_PATH | O_NOFOLLOW);

		if (place < 0)
			return errno == ENOENT && (mount->flags & MOUNT_OPTIONAL) ? 0 : -1;
		tree = sys_open_tree(place, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
		if (tree < 0 || set_attributes(tree, attributes, true) < 0) {
			close_fd(&tree);
			close_fd(&place);
			return -1;
		}
		return attach(tree, place);
	}
	tree = clone_source(mount, &is_directory);
	if (tree < 0)
		return (errno == ENOENT || errno == ENOTDIR) && (mount->flags & MOUNT_OPTIONAL) ? 0 : -1;
	if (set_attributes(tree, attributes, true) < 0) {
		close_fd(&tree);
		return -1;
	}
	return attach(tree, make_mount_point(root, mount->target, is_directory));
}

int mount_binds(const struct spec *spec, int root, struct fault *reterr)
{
	for (uint32_t i = 0; i < spec->mount_count; i++) {
		if (mount_bind(&spec->mounts[i], root) < 0)
			return fail_at(reterr, STEP_MOUNT_BINDS, i);
	}
	return 0;
}

/* The directory as a mount of its own, with these attributes, below the root by that name. */
static int mount_dir(int source, uint64_t attributes, int root, const char *name)
{
	int tree = sys_open_tree(source, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	if (tree < 0 || set_attributes(tree, attributes | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, false) < 0) {
		close_fd(&tree);
		return -1;
	}
	return attach(tree, open_beneath(root, name, O_PATH | O_DIRECTORY));
}

static int mount_shared(const struct task_dirs *dirs, int alloc, const char *name)
{
	int source = open_beneath(dirs->shared, name, O_PATH | O_DIRECTORY);
	int result = source < 0 ? -1 : mount_dir(source, 0, alloc, name);

	close_fd(&source);
	return result;
}

/*
 * /alloc itself is the daemon's user's. Where that is the task's own, it is read-only by mount, with the
 * shared directories on top.
 */
static int mount_sealed_alloc(const struct task_dirs *dirs, int root)
{
	int result = mount_dir(dirs->shared, MOUNT_ATTR_RDONLY, root, "alloc");
	int alloc = result < 0 ? -1 : open_beneath(root, "alloc", O_PATH | O_DIRECTORY);

	if (alloc < 0)
		return -1;
	for (uint32_t i = 0; i < SHARED_COUNT && result == 0; i++)
		result = mount_shared(dirs, alloc, shared_names[i]);
	close_fd(&alloc);
	return result;
}

int mount_dirs(const struct spec *spec, const struct task_dirs *dirs, int root, struct fault *reterr)
{
	bool is_owner = spec->uid == geteuid();

	if ((is_owner ? mount_sealed_alloc(dirs, root) : mount_dir(dirs->shared, 0, root, "alloc")) < 0 ||
	    mount_dir(dirs->local, 0, root, "local") < 0)
		return fail(reterr, STEP_MOUNT_DIRS);
	return 0;
}

struct option {
	const char *key;
	const char *value; /* NULL: a flag */
};

/* A new file system, detached; -1 with errno. */
static int new_mount(const char *type, const struct option *options, size_t count, unsigned int attributes)
{
	int context = sys_fsopen(type);
	int tree;

	if (context < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		int result = options[i].value ? sys_fsconfig_string(context, options[i].key, options[i].value)
					      : sys_fsconfig_flag(context, options[i].key);

		if (result < 0)
			goto failed;
	}
	if (sys_fsconfig_create(context) < 0)
		goto failed;
	tree = sys_fsmount(context, attributes);
	close_fd(&context);
	return tree;
failed:
	close_fd(&context);
	return -1;
}

/*
 * Read-only, as in the executor that this one descends from: no oom_score_adj and no uid_map
 * for a task to write.
 */
int mount_proc(int root, struct fault *reterr)
{
	unsigned int attributes =
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	int tree = new_mount("proc", NULL, 0, attributes);

	if (attach(tree, open_beneath(root, "proc", O_PATH | O_DIRECTORY)) < 0)
		return fail(reterr, STEP_MOUNT_PROC);
	return 0;
}

/* A tmpfs of so many bytes; an inode costs memory that its size does not count. */
static int new_tmpfs(uint64_t bytes, const char *mode, unsigned int attributes)
{
	enum { BYTES_PER_INODE = 4096 };
	char size[VALUE_SIZE], inodes[VALUE_SIZE];
	struct option options[] = {{"size", size}, {"nr_inodes", inodes}, {"mode", mode}};

	(void)snprintf(size, sizeof(size), "%" PRIu64, bytes);
	(void)snprintf(inodes, sizeof(inodes), "%" PRIu64, bytes / BYTES_PER_INODE + 16);
	return new_mount("tmpfs", options, 3, attributes);
}

/* Where in the base the task's root is. */
static const char root_name[] = "task";
static const char *const mount_points[] = {"alloc", "local", "proc", "dev", "tmp"};

static int make_mount_points(int root)
{
	for (size_t i = 0; i < sizeof(mount_points) / sizeof(*mount_points); i++) {
		int dir = make_dir_at(root, mount_points[i], 0755);

		if (dir < 0)
			return -1;
		close_fd(&dir);
	}
	return 0;
}

int mount_root(const struct spec *spec, const struct task_dirs *dirs, struct task_root *ret_root,
	       struct fault *reterr)
{
	enum { BASE_BYTES = 64 << 20 }; /* a bound: it holds places to mount on, and no byte */
	unsigned int attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
	struct task_root root = {.base = new_tmpfs(BASE_BYTES, "0755", attributes), .tree = -1};
	int place = -1;

	/* Attached before it is copied from, where nobody but this namespace sees it; pivot_root takes it from there. */
	if (root.base < 0 || sys_move_mount(root.base, dirs->task) < 0)
		goto failed;
	place = make_dir_at(root.base, root_name, 0755);
	if (place < 0)
		goto failed;
	root.tree = clone_tree(fcntl(has_links(spec) ? dirs->task : place, F_DUPFD_CLOEXEC, 0), 0);
	if (root.tree < 0 || set_attributes(root.tree, attributes, false) < 0 ||
	    sys_move_mount(root.tree, place) < 0)
		goto failed;
	if (make_mount_points(root.tree) < 0)
		goto failed;
	close_fd(&place);
	*ret_root = root;
	return 0;
failed:
	(void)fail(reterr, STEP_MOUNT_ROOT);
	close_fd(&place);
	close_root(&root);
	return -1;
}

static int mount_devices(int dev)
{
	for (size_t i = 0; i < sizeof(devices) / sizeof(*devices); i++) {
		char path[VALUE_SIZE];
		int tree;

		(void)snprintf(path, sizeof(path), "/dev/%s", devices[i]);
		tree = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		if (tree < 0 || set_attributes(tree, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, false) < 0) {
			close_fd(&tree);
			return -1;
		}
		if (attach(tree, make_mount_point(dev, devices[i], false)) < 0)
			return -1;
	}
	for (size_t i = 0; i < sizeof(dev_links) / sizeof(*dev_links); i++) {
		if (symlinkat(dev_links[i].target, dev, dev_links[i].name) < 0)
			return -1;
	}
	return 0;
}

static int mount_pts(int dev)
{
	/* Each mount of devpts is an instance of its own. */
	const struct option options[] = {{"ptmxmode", "0666"}, {"mode", "0620"}};
	int tree = new_mount("devpts", options, 2, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);

	return attach(tree, make_mount_point(dev, "pts", true));
}

static int mount_shm(const struct spec *spec, int dev)
{
	int tree = new_tmpfs(spec->shm_bytes, "1777", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);

	return attach(tree, make_mount_point(dev, "shm", true));
}

int mount_dev(const struct spec *spec, int root, struct fault *reterr)
{
	enum { DEV_BYTES = 65536 };
	int dev = new_tmpfs(DEV_BYTES, "0755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	int place = open_beneath(root, "dev", O_PATH | O_DIRECTORY);
	int result = -1;

	if (dev < 0 || place < 0 || sys_move_mount(dev, place) < 0)
		goto done;
	if (mount_devices(dev) < 0 || mount_pts(dev) < 0 || mount_shm(spec, dev) < 0)
		goto done;
	result = set_attributes(dev, MOUNT_ATTR_RDONLY, false);
done:
	if (result < 0)
		(void)fail(reterr, STEP_MOUNT_DEV);
	close_fd(&dev);
	close_fd(&place);
	return result;
}

int mount_tmp(const struct spec *spec, int root, struct fault *reterr)
{
	int tree = new_tmpfs(spec->tmp_bytes, "1777", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);

	if (attach(tree, open_beneath(root, "tmp", O_PATH | O_DIRECTORY)) < 0)
		return fail(reterr, STEP_MOUNT_TMP);
	return 0;
}

int seal_root(const struct task_root *root, struct fault *reterr)
{
	if (set_attributes(root->tree, MOUNT_ATTR_RDONLY, false) < 0 ||
	    set_attributes(root->base, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC, false) < 0)
		return fail(reterr, STEP_SEAL_ROOT);
	return 0;
}

/* The old root is stacked on the new one (pivot_root(2), NOTES), which is the work directory from here to leave_host. */
int pivot_root_to(const struct task_root *root, struct fault *reterr)
{
	if (fchdir(root->base) < 0 || sys_pivot_root(".", ".") < 0 || chroot(root_name) < 0)
		return fail(reterr, STEP_PIVOT_ROOT);
	return 0;
}

int leave_host(struct fault *reterr)
{
	if (syscall(SYS_umount2, ".", MNT_DETACH_FLAG) < 0 || chdir("/") < 0)
		return fail(reterr, STEP_LEAVE_HOST);
	return 0;
}

void close_root(struct task_root *root)
{
	close_fd(&root->base);
	close_fd(&root->tree);
}
