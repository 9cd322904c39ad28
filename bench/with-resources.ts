import { Resources } from "./resources.js";

/** What was made goes when the work ends, fails, or is interrupted. */
export async function withResources<T>(work: (resources: Resources) => Promise<T>): Promise<T> {
  const resources = new Resources();
  const interruption = defer();
  process.on("SIGINT", interruption.reject).on("SIGTERM", interruption.reject);
  const working = work(resources);
  try {
    return await Promise.race([working, interruption.promise]);
  } finally {
    await resources[Symbol.asyncDispose]();
    // Of work that was interrupted, whatever is still under way fails now.
    await working.catch(() => undefined);
    process.off("SIGINT", interruption.reject).off("SIGTERM", interruption.reject);
  }
}

function defer(): { readonly promise: Promise<never>; readonly reject: (signal: NodeJS.Signals) => void } {
  let refuse: (error: Error) => void = () => undefined;
  const promise = new Promise<never>((_resolve, reject) => {
    refuse = reject;
  });
  return { promise, reject: (signal) => refuse(new Error(`interrupted by ${signal}`)) };
}
