// Preloaded into a daemon: a line in the file STOCKADE_TEST_LISTENING for each unix socket, with its mode as it is bound.
const { appendFileSync, lstatSync } = require("node:fs");
const { Server } = require("node:net");

const { emit } = Server.prototype;
Server.prototype.emit = function (event, ...rest) {
  // Before anybody who waits for it is told: nothing has been done to the socket but to make it.
  if (event === "listening" && typeof this.address() === "string") {
    const mode = lstatSync(this.address()).mode & 0o7777;
    appendFileSync(process.env.STOCKADE_TEST_LISTENING, `${mode.toString(8)}\n`);
  }
  return emit.call(this, event, ...rest);
};
