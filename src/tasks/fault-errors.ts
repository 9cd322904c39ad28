/** What a client is told of a step of the helper that failed. No host path is in it. */
import { echo, TaskError } from "./errors.js";
import { HELPER_STEP_WORDS, type HelperStep } from "./helper-step.js";
import type { MountSpec, StepFault } from "./ports.js";

/** The host has run out of something that others use too. */
const EXHAUSTED: ReadonlySet<string> = new Set(["EAGAIN", "EDQUOT", "EMFILE", "ENFILE", "ENOMEM", "ENOSPC"]);

/** `ErrorInfo.metadata.stage`: "find_command". */
function stageOf(step: HelperStep): string {
  return step.toLowerCase();
}

/**
 * The answer to a Configure whose sandbox could not be made.
 * @param mounts what was to be mounted, in the order of the helper
 * @param asked the mounts of the request
 */
export function sandboxFailed(
  fault: StepFault,
  mounts: readonly MountSpec[],
  asked: readonly Pick<MountSpec, "target">[],
): TaskError {
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
    case "EMBED_TREES":
      if (fault.errno === "EDQUOT") {
        return new TaskError({
          reason: "LINK_BYTES_EXCEEDED",
          message: "what cannot be linked is more than may be copied for one task",
          metadata,
        });
      }
      break;
    case "MOUNT_BINDS": {
      const target = mounts[fault.index]?.target ?? "?";
      if (fault.errno === "EXDEV") {
        const index = asked.findIndex((mount) => mount.target === target);
        return new TaskError({
          reason: "SANDBOX_FAILED",
          field: index < 0 ? "chroot" : `mounts[${index}].target`,
          message: `cannot mount ${target}: it lies in another mount, and is not there`,
          metadata: { ...metadata, target },
        });
      }
      return new TaskError({
        reason: EXHAUSTED.has(fault.errno) ? "HOST_EXHAUSTED" : "SANDBOX_FAILED",
        message: `cannot mount ${echo(target)}: ${fault.errno}`,
        metadata: { ...metadata, target },
      });
    }
    default:
      break;
  }
  return new TaskError({
    reason: EXHAUSTED.has(fault.errno) ? "HOST_EXHAUSTED" : "SANDBOX_FAILED",
    message: `${words}: ${fault.errno}`,
    metadata,
  });
}

/** The answer to a Start whose command could not be executed. `index` is the element of PATH that was tried. */
export function commandNotExecutable(fault: StepFault, program: string, path: string): TaskError {
  const where = lookedUp(fault, program, path);
  return new TaskError({
    reason: "COMMAND_NOT_EXECUTABLE",
    message: `cannot ${HELPER_STEP_WORDS[fault.step]} ${echo(where)}: ${fault.errno}`,
    metadata: { stage: stageOf(fault.step), errno: fault.errno, path: where },
  });
}

/** The path inside the task where the program was found, or its name if it was found nowhere. */
function lookedUp(fault: StepFault, program: string, path: string): string {
  if (program.includes("/") || fault.step === "FIND_COMMAND") return program;
  const directory = path.split(":")[fault.index];
  return directory === undefined ? program : `${directory === "" ? "." : directory}/${program}`;
}
