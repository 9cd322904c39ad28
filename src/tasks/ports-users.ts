/** Whom a request wants its task to run as; each a name or a number. */
export interface UserRequest {
  /** Empty: the default user. */
  readonly user: string;
  /** Empty: the user's own. */
  readonly group: string;
  readonly supplementaryGroups: readonly string[];
}

/** Whom a task runs as. */
export interface User {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, without doubles. */
  readonly groups: readonly number[];
  /** The user's name, or its number where it has no entry. */
  readonly name: string;
}

export interface UserDirectory {
  /**
   * Rejects with a TaskError: USER_UNKNOWN, GROUP_UNKNOWN, FIELD_MISSING (a number without an
   * entry and no group), USER_FORBIDDEN, GROUP_FORBIDDEN.
   */
  lookup(request: UserRequest): Promise<User>;
}
