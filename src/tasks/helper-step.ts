/**
 * The steps of the helper with what an error says of each, as native/steps.def lists them
 * and in its order. A test holds both lists against each other.
 */
export const HELPER_STEP_WORDS = {
  READ_REQUEST: "read the request",
  OPEN_CGROUPS: "open the task's cgroup",
  CREATE_CHANNELS: "create the channels to init",
  CLONE_INIT: "create init in its namespaces",
  CLOSE_INHERITED: "close inherited descriptors",
  MAP_IDS: "map the users of the user namespace",
  NEW_SESSION: "start a session",
  NEW_KEYRING: "make a session keyring",
  OPEN_RECORD: "open the exit record and the logs",
  MAKE_PRIVATE: "detach from the host's mounts",
  MAKE_ALLOC_DIR: "make the alloc directory",
  MAKE_TASK_DIR: "make the task directory",
  LINK_LOGS: "link the logs into the task directory",
  EMBED_TREES: "embed the chroot's trees",
  MOUNT_ROOT: "mount the task's root",
  MOUNT_BINDS: "mount the host's paths",
  MOUNT_DIRS: "mount /alloc and /local",
  MOUNT_PROC: "mount /proc",
  MOUNT_DEV: "mount /dev",
  MOUNT_TMP: "mount /tmp and /dev/shm",
  SEAL_ROOT: "make the root read-only",
  PIVOT_ROOT: "change the root",
  SET_HOSTNAME: "set the host name",
  RAISE_LOOPBACK: "raise the loopback interface",
  CREATE_PIPES: "create the output pipes",
  CLONE_COMMAND: "create the command's process",
  JOIN_CGROUPS: "join the task's cgroup",
  VERIFY_CGROUPS: "verify the task's cgroup",
  UNSHARE_CGROUP_NS: "create the cgroup namespace",
  RESET_PROCESS: "reset signals, umask and limits",
  SET_STDIO: "set the standard streams",
  SET_CREDENTIALS: "set user and groups",
  DROP_CAPABILITIES: "drop capabilities",
  VERIFY_CREDENTIALS: "verify user, groups and capabilities",
  ENTER_WORK_DIR: "enter the work directory",
  DROP_INIT_PRIVILEGES: "drop init's privileges",
  VERIFY_INIT: "verify init's privileges",
  REPORT_READY: "report that the command waits",
  READ_START: "read the command to start",
  FIND_COMMAND: "find the command",
  FIND_INTERPRETER: "find the command's interpreter",
  EXEC: "execute the command",
  REMOVE_TREES: "remove the embedded trees",
} as const;

export type HelperStep = keyof typeof HELPER_STEP_WORDS;

export const HELPER_STEPS = Object.keys(HELPER_STEP_WORDS) as HelperStep[];
