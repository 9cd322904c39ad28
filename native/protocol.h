/*
 * What daemon and launcher say to each other, over the socketpair that the launcher
 * inherits as descriptor 3 (SOCK_STREAM).
 *
 * A message is a header and a body, both little endian, without padding:
 *
 *   u32 size   bytes of the body, at most MESSAGE_SIZE_MAX
 *   u32 type   one of enum message_type
 *   u64 task   chosen by the daemon, unique for the launcher's life; 0 in HELLO
 *
 * In bodies a string is u32 size (without the NUL), the bytes, one NUL; no NUL may be
 * inside. Bytes are u32 size, then as many. A list is u32 count, then the items. A body is exactly as long as its fields.
 * A launcher that reads anything else answers nothing more: it refuses the message whole
 * and exits 2 (there is no trust to save: the only writer is the daemon).
 * src/host/helper/protocol.ts is the same in TypeScript; a test reads this file and
 * holds both against each other.
 */
#ifndef STOCKADE_PROTOCOL_H
#define STOCKADE_PROTOCOL_H

#define PROTOCOL_VERSION 7
#define MESSAGE_SIZE_MAX (16u << 20)
#define PROTOCOL_FD 3

/* MESSAGE(name, number) */
#define TO_LAUNCHER(MESSAGE)                                                                                 \
	MESSAGE(CREATE, 1)                                                                                   \
	MESSAGE(START, 2)                                                                                    \
	MESSAGE(SIGNAL, 3)                                                                                   \
	MESSAGE(KILL_INIT, 4)                                                                                \
	MESSAGE(REMOVE, 5)                                                                                   \
	MESSAGE(ATTACH, 6)                                                                                   \
	MESSAGE(COLLECT, 7)                                                                                  \
	MESSAGE(FIND_INIT, 8)

#define TO_DAEMON(MESSAGE)                                                                                   \
	MESSAGE(HELLO, 101)                                                                                  \
	MESSAGE(READY, 102)                                                                                  \
	MESSAGE(FAULT, 103)                                                                                  \
	MESSAGE(STARTED, 104)                                                                                \
	MESSAGE(ENDED, 105)                                                                                  \
	MESSAGE(REMOVED, 106)                                                                                \
	MESSAGE(SIGNALLED, 107)                                                                              \
	MESSAGE(EXITED, 108)                                                                                 \
	MESSAGE(ATTACHED, 109)                                                                               \
	MESSAGE(OVERRUN, 110)                                                                                \
	MESSAGE(COLLECTED, 111)                                                                              \
	MESSAGE(FOUND_INIT, 112)

/*
 * CREATE makes a task's init and its waiting command.
 *   u32 flags            CREATE_*
 *   u32 uid, gid         of the command, host numbers
 *   u32 init_uid         what init drops to (as gid too)
 *   list<u32> groups     supplementary
 *   string alloc_root    absolute path of the directory of alloc directories
 *   string alloc_id
 *   string task_name
 *   string record_dir    absolute path of the task's record directory; exists, root's own
 *   string hostname
 *   string work_dir      absolute, inside
 *   string cgroup        "" or the cgroup's path, as /proc/self/cgroup must show it
 *   string cgroup_v2     "" or the absolute directory of the task's v2 cgroup
 *   list<string> cgroup_v1   absolute directories of the task's v1 cgroups
 *   u64 tmp_bytes, shm_bytes   sizes of /tmp and /dev/shm
 *   u64 log_bytes        cap of each log
 *   u64 link_bytes       cap of bytes copied by LINK
 *   u64 timeout_ns       from exec on; 0: none
 *   u64 cpu_time_ns      of all that is in the cgroup; 0: no limit
 *   string cpu_time_file "" where that is 0, else the absolute path of cpu.stat (v2) or cpuacct.usage (v1)
 *   list<mount> mounts   in the order they are to be made
 *     string source      absolute host path with no link in it
 *     string target      absolute path inside
 *     u32 flags          MOUNT_*
 *   list<file> files     written before the command may start, all of them or none
 *     string path        absolute path inside, below /local or one of the shared directories of /alloc
 *     u32 mode           0 to 0777
 *     bytes content
 *   bytes stdin          what the command reads from descriptor 0; none: /dev/null
 * Answer: READY, or FAULT and then ENDED.
 */
#define CREATE_USER_NS 1u  /* in a user namespace of its own, with one user */
#define CREATE_NET_NS 2u   /* in a network namespace of its own */
#define MOUNT_READ_ONLY 1u /* recursively */
#define MOUNT_OPTIONAL 2u  /* a source that is not there is skipped */
#define MOUNT_LINK 4u	   /* embed by links and copies instead of a bind mount */

/* Of timeout_ns and cpu_time_ns: ten years. */
#define TIME_LIMIT_MAX_NS 315360000000000000u

#define REMOVE_TREES 0u /* of the task directory all but "local" */
#define REMOVE_TASK 1u	/* the task directory */
#define REMOVE_ALLOC 2u /* the alloc directory */

/*
 * START lets the command go.
 *   string path          PATH to look a bare command up in, ":" between
 *   list<string> argv    at least one
 *   list<string> env     "NAME=value"
 * Answer: STARTED, or FAULT and then ENDED.
 *
 * SIGNAL       u32 signal, to the main process by pidfd. Answer: SIGNALLED.
 * KILL_INIT    empty; SIGKILL to init by pidfd. No answer but the ENDED that follows.
 * REMOVE       u32 scope (REMOVE_*), string alloc_root, alloc_id, task_name; removes what
 *              the scope names, following nothing. What is not there is no error.
 *              Answer: REMOVED.
 * ATTACH       i32 init_pid, u64 init_start_ticks, u32 init_uid, i32 command_pid (0: there is none),
 *              u64 command_start_ticks, as CREATE and READY have said them; takes a task of an earlier launcher's over, whose command may have ended.
 *              Answer: ATTACHED. If that is 0, SIGNAL and KILL_INIT follow as for any other; a START never does.
 *
 * FIND_INIT    string record_dir (absolute); looks which init holds the exit record there, by the lock that each has on
 *              its own. Answer: FOUND_INIT. If that is 0, ATTACH takes what was found, and nothing else.
 *
 * COLLECT      string alloc_root, alloc_id, task_name, string path (inside the task, below /local or /alloc),
 *              u64 max_bytes, string into (absolute path of a file to make); copies a regular file of a task, as far
 *              as max_bytes, with the rights of the user that /local belongs to and following nothing.
 *              Answer: COLLECTED. ETIMEDOUT: the disk has not answered, and what was copied until then is there still.
 *
 * HELLO        u32 PROTOCOL_VERSION, u32 errno of making its user namespace; the launcher's first message.
 * READY        i32 init_pid, u64 init_start_ticks, i32 command_pid, u64 command_start_ticks
 *              (pids in the daemon's pid namespace; ticks: field 22 of their stat)
 * FAULT        u32 step, i32 errno, u32 index (of the mount, group, cgroup or PATH element that failed), string path (of
 *              FIND_INTERPRETER: the interpreter, inside; "": it is not known)
 * STARTED      u64 realtime_ns, u64 boottime_ns
 * OVERRUN      u32 flags (EXIT_TIMED_OUT or EXIT_CPU_TIME, exit-record.h): init has it on record, and kills the task,
 *              all but what is frozen; EXITED follows.
 * EXITED       the exit record's fields (exit-record.h): i32 wait_status, u32 flags,
 *              u64 started_ns, u64 exited_ns (realtime), u64 stdout_bytes, stderr_bytes,
 *              u64 stdout_dropped, stderr_dropped, u64 cpu_user_us, cpu_system_us,
 *              memory_peak_bytes (of reaped children: for hosts without cgroups)
 *              Nothing is left of the task but its init and the namespaces, which go with it.
 * ENDED        empty. Sent once per CREATE, after init has been reaped: last of the task. Without an
 *              EXITED before it init has died without a word. Once per ATTACH that has succeeded too, after init
 *              has ended, and never with an EXITED: its words went to the earlier launcher, its record has them.
 * REMOVED      u32 step (0: all well), i32 errno
 * COLLECTED    u32 step (0: all well), i32 errno, u64 size of the file, u32 mode (permissions), u32 1: there is more
 *              of it than was copied
 * SIGNALLED    i32 errno (0: delivered; ESRCH: the main process has ended)
 * ATTACHED     i32 errno (0: it is; ESRCH: init has ended, or the pid is another process's now)
 * FOUND_INIT   i32 errno (0: it is there; ESRCH: nobody holds an exit record there), i32 init_pid, u64 init_start_ticks
 */

#define STEP_NONE 0u

#endif
