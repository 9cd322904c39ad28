/** A request that is refused, and by which reason and field. */
export type Row<Request> = readonly [what: string, request: Request, reason: string, field: string];

/** The code of a reason that these requests are refused with. */
export function codeOf(reason: string): string {
  return reason === "PATH_FORBIDDEN" ? "PERMISSION_DENIED" : "INVALID_ARGUMENT";
}

/** A name of one character more than there may be. */
export const TOO_LONG = "x".repeat(129);
