/** Goes on where the last boot of the machine has ended. */
import { firstBoot } from "./first-boot";
import { afterPowerCut, afterReboot } from "./later-boots";
import { notes } from "./notes";
import { check } from "./report";
import { systemctl } from "./units";

const PARTS = { services: firstBoot, "after-reboot": afterReboot, "after-power-cut": afterPowerCut };

async function main(): Promise<void> {
  await PARTS[notes.next]();
}

main().catch(async (error: unknown) => {
  await check(`all of "${notes.next}" can be done`, () => {
    throw error;
  });
  systemctl("poweroff", "--force");
});
