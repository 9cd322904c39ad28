/** A process whose event loop has nothing to do, until SIGTERM: what stalls it stalls any other. */
process.on("SIGTERM", () => process.exit(0));
setInterval(() => undefined, 1000);
