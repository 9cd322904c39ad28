/**
 * The service manager that has started the daemon, if one has. It is spoken to by datagrams, which Node cannot send on a
 * unix socket: the helper does.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";

/** Says that the daemon serves; resolves when the manager has taken it. Rejects where it can't be told. */
export async function tellServing(helper: string, notifySocket: string): Promise<void> {
  const child = spawn(helper, ["notify"], {
    stdio: ["ignore", "ignore", "inherit"],
    cwd: "/",
    env: { NOTIFY_SOCKET: notifySocket },
  });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) throw new Error("cannot tell the service manager that the daemon serves");
}
