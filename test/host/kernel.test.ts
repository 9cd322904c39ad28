import { checkKernel, KernelTooOld } from "../../src/host/kernel";

it.each(["5.14.21-150500-default", "4.18.0", "3.10.0-1160.el7", "5.9"])("Linux %s is too old", (release) => {
  expect(() => checkKernel(release)).toThrow(KernelTooOld);
  expect(() => checkKernel(release)).toThrow(`Linux ${release} is too old: 5.15 or later is needed`);
});

it.each(["5.15.0", "5.15-rc1", "5.100.1", "6.1.0-18-amd64", "10.0"])("Linux %s will do", (release) => {
  expect(() => checkKernel(release)).not.toThrow();
});
