/**
 * The requests that can be repeated: each makes one task, however often it comes, and has that task's answer for as
 * long as its record is kept. What has failed is not remembered.
 */
import type { Owner } from "../access/identity.js";
import { SharedAttempt } from "../concurrency/shared-attempt.js";
import { TaskError } from "../errors.js";
import type { TaskRecord } from "../ports.js";
import type { Unenforced } from "../unenforced.js";
import type { AnsweredRequest, RequestMark } from "./request-id.js";

/** What every request that makes a task is answered with. */
export interface MadeTask {
  readonly id: string;
  readonly unenforced: readonly Unenforced[];
}

type Named = Pick<TaskRecord, "id" | "uuid" | "owner" | "request">;

interface Answered extends AnsweredRequest {
  readonly taskId: string;
  readonly uuid: string;
}

interface UnderWay {
  readonly digest: string;
  readonly attempt: SharedAttempt<MadeTask>;
}

export class RequestIds {
  /** By whose they are, and their ids: each caller has ids of his own. */
  private readonly answered = new Map<string, Answered>();
  private readonly underWay = new Map<string, UnderWay>();

  /** The task has come to be. Of two with one request, which a deletion that was cut off may leave, the later counts. */
  remember({ id, uuid, owner, request }: Named): void {
    if (request === undefined) return;
    const key = keyOf(owner, request.id);
    if ((this.answered.get(key)?.uuid ?? "") <= uuid)
      this.answered.set(key, { ...request, taskId: id, uuid });
  }

  /** The task's record has gone. */
  forget({ uuid, owner, request }: Named): void {
    if (request === undefined) return;
    const key = keyOf(owner, request.id);
    if (this.answered.get(key)?.uuid === uuid) this.answered.delete(key);
  }

  /**
   * Has the task made, which is to be `remember`ed then, unless it has been or is being made. Throws
   * REQUEST_ID_REUSED, and what `make` does: the same to all who wait for it. It is given up when they all have gone.
   */
  async once(
    owner: Owner | undefined,
    { id, digest }: RequestMark,
    caller: AbortSignal,
    make: (allGone: AbortSignal) => Promise<MadeTask>,
  ): Promise<MadeTask> {
    const key = keyOf(owner, id);
    for (;;) {
      caller.throwIfAborted();
      const answered = this.answered.get(key);
      if (answered !== undefined) {
        refuseAnother(answered.digest, digest);
        return { id: answered.taskId, unenforced: answered.unenforced };
      }
      const { attempt, digest: ofAttempt } = this.underWay.get(key) ?? this.begin(key, digest, make);
      if (!attempt.isGivenUp) {
        refuseAnother(ofAttempt, digest);
        return attempt.join(caller);
      }
      await attempt.over(caller);
    }
  }

  private begin(key: string, digest: string, make: (allGone: AbortSignal) => Promise<MadeTask>): UnderWay {
    const attempt = new SharedAttempt((allGone) => make(allGone).finally(() => this.underWay.delete(key)));
    const begun = { digest, attempt };
    this.underWay.set(key, begun);
    return begun;
  }
}

function refuseAnother(known: string, digest: string): void {
  if (known === digest) return;
  throw new TaskError({
    reason: "REQUEST_ID_REUSED",
    field: "request_id",
    message: "request_id is that of another request",
  });
}

/** No name of an identity holds a slash. */
function keyOf(owner: Owner | undefined, id: string): string {
  return `${owner?.name ?? ""}/${id}`;
}
