/** What a client is told of a step of the helper that failed. No host path is in it. */
import { echo, TaskError } from "./errors.js";
import { HELPER_STEP_WORDS, type HelperStep } from "./helper-step.js";
import type { MountSpec, StepFault } from "./ports.js";

/** The host has run out of something that others use too. */
const EXHAUSTED: ReadonlySet<string> = new Set(["EAGAIN", "EDQUOT", "EMFILE", "ENFILE", "ENOMEM", "ENOSPC"]);

/** Of a disk that cannot be written to at the moment. */
const UNWRITABLE: ReadonlySet<string> = new Set([...EXHAUSTED, "EROFS"]);

/** The errno of a system call of the daemon's own that failed for want of something; undefined: it is another error. */
export function exhaustion(error: unknown): string | undefined {
  const { code } = error as { readonly code?: unknown };
  return typeof code === "string" && UNWRITABLE.has(code) ? code : undefined;
}

/** The answer to a call that could not do `act` for want of something; undefined: it is another error. */
export function hostExhausted(error: unknown, act: string): TaskError | undefined {
  const errno = exhaustion(error);
  if (errno === undefined) return undefined;
  return new TaskError({
    reason: "HOST_EXHAUSTED",
    message: `cannot ${act}: ${errno}`,
    metadata: { errno },
    cause: error,
  });
}

/** `ErrorInfo.metadata.stage`: "find_command". */
function stageOf(step: HelperStep): string {
  return step.toLowerCase();
}

/** Steps that write to the disk of the alloc directories, and nowhere else. */
const OF_ALLOC_DIRS: ReadonlySet<HelperStep> = new Set([
  "MAKE_ALLOC_DIR",
  "MAKE_TASK_DIR",
  "EMBED_TREES",
  "GIVE_LOCAL",
]);

/** The disk of the alloc directories cannot be written to at the moment. */
export function isOfAllocDisk({ step, errno }: StepFault): boolean {
  return OF_ALLOC_DIRS.has(step) && UNWRITABLE.has(errno);
}

/** In the task's root much is read-only: there EROFS says nothing of a disk. */
function isExhausted(fault: StepFault): boolean {
  return EXHAUSTED.has(fault.errno) || isOfAllocDisk(fault);
}

/** The answer to a Configure whose sandbox could not be made. */
export function sandboxFailed(fault: StepFault, mounts: readonly MountSpec[]): TaskError {
  const metadata: Record<string, string> = { stage: stageOf(fault.step), errno: fault.errno };
  const words = `cannot ${HELPER_STEP_WORDS[fault.step]}`;
  switch (fault.step) {
    case "READ_REQUEST":
      if (fault.errno !== "E2BIG") break;
      return new TaskError({
        reason: "FIELD_INVALID",
        field: "mounts",
        message: "mounts and all else of the request are more than the helper takes at one time",
        metadata,
      });
    case "ENTER_WORK_DIR":
      if (EXHAUSTED.has(fault.errno)) break;
      return new TaskError({
        reason: "SANDBOX_FAILED",
        field: "work_dir",
        message: `${words}: ${fault.errno}`,
        metadata,
      });
    case "WRITE_FILES":
    case "PLACE_FILES":
      return fileFailed(fault, metadata);
    case "EMBED_TREES":
      return mountFailed("embed", fault, mounts[fault.index]);
    case "MOUNT_BINDS":
      return mountFailed("mount", fault, mounts[fault.index]);
    default:
      break;
  }
  return new TaskError({
    reason: isExhausted(fault) ? "HOST_EXHAUSTED" : "SANDBOX_FAILED",
    message: `${words}: ${fault.errno}`,
    metadata,
  });
}

/** What the errno of a file's path means for who has asked for it. */
const FILE_ERRORS: ReadonlyMap<string, string> = new Map([
  ["EISDIR", "a directory is there"],
  ["ELOOP", "a symbolic link is in the way"],
  ["ENOTDIR", "what is no directory is in the way"],
  ["EACCES", "the task's user may not write there"],
  ["EPERM", "the task's user may not replace what is there"],
]);

function fileFailed(fault: StepFault, metadata: Record<string, string>): TaskError {
  const what = `files[${fault.index}]`;
  const why = FILE_ERRORS.get(fault.errno);
  const message = `cannot write ${what}: ${why === undefined ? "" : `${why}: `}${fault.errno}`;
  if (EXHAUSTED.has(fault.errno)) return new TaskError({ reason: "HOST_EXHAUSTED", message, metadata });
  return new TaskError({ reason: "SANDBOX_FAILED", field: `${what}.path`, message, metadata });
}

/** The step was about one path of the task's root, which is told, with the field that asks for it. */
function mountFailed(verb: string, fault: StepFault, mount: MountSpec | undefined): TaskError {
  const target = mount?.target ?? "?";
  const metadata = { stage: stageOf(fault.step), errno: fault.errno, target };
  if (fault.step === "EMBED_TREES" && fault.errno === "EDQUOT") {
    return new TaskError({
      reason: "LINK_BYTES_EXCEEDED",
      message: `cannot embed ${echo(target)}: what cannot be linked is more than may be copied for one task`,
      metadata,
    });
  }
  // The helper makes no place to mount on but in the task's own root.
  const why = fault.errno === "EXDEV" ? "it lies in another mount, and is not there" : fault.errno;
  const message = `cannot ${verb} ${echo(target)}: ${why}`;
  if (isExhausted(fault)) return new TaskError({ reason: "HOST_EXHAUSTED", message, metadata });
  const field = mount?.field === undefined ? {} : { field: mount.field };
  return new TaskError({ reason: "SANDBOX_FAILED", ...field, message, metadata });
}

/**
 * The answer to a Start whose command could not be executed. `index` is the element of PATH that was tried.
 * @param oomKilled the kernel has killed the process that was to become it, for want of memory
 */
export function commandNotExecutable(
  fault: StepFault,
  program: string,
  path: string,
  oomKilled: boolean,
): TaskError {
  const where = lookedUp(fault, program, path);
  if (oomKilled && fault.errno === "ESRCH") return commandTooLarge(fault, where);
  const metadata = { stage: stageOf(fault.step), errno: fault.errno, path: where };
  if (fault.step === "FIND_INTERPRETER") return interpreterMissing(fault, metadata);
  return new TaskError({
    reason: "COMMAND_NOT_EXECUTABLE",
    message: `cannot ${HELPER_STEP_WORDS[fault.step]} ${echo(where)}: ${fault.errno}`,
    metadata,
  });
}

function commandTooLarge({ step }: StepFault, where: string): TaskError {
  return new TaskError({
    reason: "COMMAND_NOT_EXECUTABLE",
    message: `cannot ${HELPER_STEP_WORDS[step]} ${echo(where)}: that takes more memory than the task may use`,
    metadata: { stage: stageOf(step), errno: "ENOMEM", path: where },
  });
}

function interpreterMissing(fault: StepFault, metadata: { readonly path: string }): TaskError {
  const { path: interpreter = "" } = fault;
  const of = `the interpreter of ${echo(metadata.path)}`;
  return new TaskError({
    reason: "COMMAND_NOT_EXECUTABLE",
    message: `cannot find ${interpreter === "" ? of : `${echo(interpreter)}, ${of}`}: ${fault.errno}`,
    metadata: interpreter === "" ? metadata : { ...metadata, interpreter },
  });
}

/** The path inside the task where the program was found, or its name if it was found nowhere. */
function lookedUp(fault: StepFault, program: string, path: string): string {
  if (program.includes("/") || fault.step === "FIND_COMMAND") return program;
  const directory = path.split(":")[fault.index];
  return directory === undefined ? program : `${directory === "" ? "." : directory}/${program}`;
}
