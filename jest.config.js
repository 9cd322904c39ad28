// Timeouts are for an idle machine; STOCKADE_TEST_SLOW stretches them where all is slower.
const slow = Number(process.env.STOCKADE_TEST_SLOW ?? 1);

/** @type {import("jest").Config} */
module.exports = {
  testEnvironment: "node",
  roots: ["<rootDir>/test"],
  // Suites that take longer, or drive a machine of their own, have targets of their own in the Makefile.
  testMatch: ["<rootDir>/test/!(chaos|long|vm)/**/*.test.ts"],
  transform: { "^.+\\.ts$": ["ts-jest", { tsconfig: "<rootDir>/test/tsconfig.json" }] },
  moduleNameMapper: { "^(\\.{1,2}/.*)\\.js$": "$1" },
  // The emulated machines of test/vm find there what this one has compiled.
  cacheDirectory: "<rootDir>/.cache/jest",
  setupFiles: ["<rootDir>/test/support/early-node.js"],
  modulePathIgnorePatterns: ["<rootDir>/dist", "<rootDir>/.cache"],
  reporters: ["default", "<rootDir>/test/support/reporter.js"],
  maxWorkers: 2,
  testTimeout: 60_000 * slow,
};
