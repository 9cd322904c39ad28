import { TestDaemon } from "../support/daemon";
it("x", async () => {
  const d = await TestDaemon.start();
  try { console.log(await d.run("id; cat /proc/self/status | head -30; ls -la / /dev /alloc; ls -l /proc/self/fd; cat /proc/self/mountinfo; env"), d.leftovers(), d.logged); }
  finally { await d[Symbol.asyncDispose](); }
});
