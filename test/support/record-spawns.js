// Preloaded into a daemon: a line in the file STOCKADE_TEST_SPAWNS for each program that it starts.
const { appendFileSync } = require("node:fs");
const programs = require("node:child_process");

function record(what) {
  appendFileSync(process.env.STOCKADE_TEST_SPAWNS, `${what}\n`);
}

const { spawn } = programs.ChildProcess.prototype;
programs.ChildProcess.prototype.spawn = function (options) {
  record(options.file);
  return spawn.call(this, options);
};
for (const name of ["spawnSync", "execSync", "execFileSync"]) {
  const start = programs[name];
  programs[name] = (program, ...rest) => {
    record(program);
    return start(program, ...rest);
  };
}
