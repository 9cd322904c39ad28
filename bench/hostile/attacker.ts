/** One attack, as a process of its own; it stands for another machine, so its CPU time is to come after everybody's. */
import { constants, setPriority } from "node:os";

import { ATTACKS, type AttackName } from "./attacks.js";
import type { Target } from "./target.js";

const [name, target] = process.argv.slice(2) as [AttackName, string];
process.stdin.resume().once("close", () => process.exit());
setPriority(constants.priority.PRIORITY_LOW);
process.stdout.write("begins\n");
void ATTACKS[name](JSON.parse(target) as Target);
