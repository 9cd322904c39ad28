/**
 * The last lines of a run: each skipped test with the need that its host lacks (its name ends with it), what
 * failed to run at all, and one closing line of totals.
 */
module.exports = class SummaryReporter {
  onRunComplete(_contexts, results) {
    const tests = results.testResults.flatMap((file) => file.testResults);
    const skipped = tests.filter((test) => test.status === "pending" || test.status === "todo");
    // A file that could not be run counts as one failed test: it has none of its own.
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const lines = [
      ...skipped.map((test) => `skipped: ${test.fullName}`),
      `${results.numPassedTests} passed, ${failed} failed, ${skipped.length} skipped`,
    ];
    // Jest's own summary comes after every reporter, and this after that.
    process.once("exit", () => process.stdout.write(`\n${lines.join("\n")}\n`));
  }
};
