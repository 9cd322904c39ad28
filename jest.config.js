/** @type {import("jest").Config} */
module.exports = {
  testEnvironment: "node",
  roots: ["<rootDir>/test"],
  testMatch: ["<rootDir>/test/**/*.test.ts"],
  transform: { "^.+\\.ts$": ["ts-jest", { tsconfig: "<rootDir>/test/tsconfig.json" }] },
  moduleNameMapper: { "^(\\.{1,2}/.*)\\.js$": "$1" },
  // The emulated machines of test/vm find there what this one has compiled: as long as this configuration is the same for
  // both, which tests run is said by their paths.
  cacheDirectory: "<rootDir>/.cache/jest",
  setupFiles: ["<rootDir>/test/support/early-node.js"],
  // Timeouts are for an idle machine; STOCKADE_TEST_SLOW stretches them where all is slower.
  setupFilesAfterEnv: ["<rootDir>/test/support/slow-host.ts"],
  modulePathIgnorePatterns: ["<rootDir>/dist", "<rootDir>/.cache"],
  reporters: ["default", "<rootDir>/test/support/reporter.js"],
  maxWorkers: 2,
  testTimeout: 60_000,
};
