/** Where a daemon can be, and what can be none's address. */
import { connect } from "../../src/client";

it.each([
  "unix:/run/stockade/stockaded.sock",
  "unix:///run/stockade/stockaded.sock",
  "unix:stockaded.sock",
  "unix-abstract:stockaded",
  "build-1.example.com:7443",
  "127.0.0.1:7443",
  "[::1]:7443",
  "dns:///build-1.example.com:7443",
])("%s can be one", (address) => {
  connect(address).close();
});

it.each([
  "",
  "unix:",
  "/run/stockade/stockaded.sock",
  "./stockaded.sock",
  "stockaded.sock",
  "build-1.example.com",
  "::1",
  "https://build-1.example.com:7443",
  "tcp://127.0.0.1:7443",
])("'%s' can be none, and that is said at once", (address) => {
  expect(() => connect(address)).toThrow(
    new TypeError(`an address is unix:<path> or <host>:<port>: ${JSON.stringify(address)}`),
  );
});
