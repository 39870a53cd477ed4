// Not an example but their check: opens browser/index.html in a headless Chromium and presses its buttons.
//   node check-page.js CHROMIUM PAGE URL TOPIC
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import WebSocket from "ws";

const [chromium, page, url, topic] = process.argv.slice(2);
const profile = await mkdtemp(join(tmpdir(), "page-"));
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", `--user-data-dir=${profile}`];
const browser = spawn(chromium, [...flags, "about:blank"], { stdio: ["ignore", "ignore", "pipe"] });

// Chromium says on its standard error where it listens.
let port;
for await (const line of createInterface(browser.stderr)) {
  port = /^DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1];
  if (port) break;
}
browser.stderr.resume();

const address = `${pathToFileURL(page)}?${new URLSearchParams({ url, topic })}`;
const tab = await (await fetch(`http://127.0.0.1:${port}/json/new?${encodeURIComponent(address)}`, { method: "PUT" })).json();
const devtools = new WebSocket(tab.webSocketDebuggerUrl);
await once(devtools, "open");

let calls = 0;
async function evaluate(expression) {
  const id = ++calls;
  const params = { expression, awaitPromise: true, returnByValue: true };
  devtools.send(JSON.stringify({ id, method: "Runtime.evaluate", params }));
  for (;;) {
    const answer = JSON.parse((await once(devtools, "message"))[0]);
    if (answer.id !== id) continue;
    const problem = answer.error ?? answer.result.exceptionDetails;
    if (problem) throw new Error(JSON.stringify(problem));
    return answer.result.result.value;
  }
}

// Presses a button and waits for the line that it adds to the log.
const press = (button) => evaluate(`new Promise((resolve) => {
  const log = document.getElementById("log");
  new MutationObserver(() => resolve(log.textContent.trim().split("\\n").at(-1))).observe(log, { childList: true });
  document.getElementById("${button}").click();
})`);

let failed = false;
while (await evaluate(`document.readyState !== "complete" || location.protocol !== "file:"`)) { /* still loading */ }
for (const [button, expected] of [["produce", /^stored as C/], ["consume", /^consumed C.*: Hello/], ["read", /^read C.*: Hello/]]) {
  const line = await press(button);
  console.log(line);
  failed ||= !expected.test(line);
}

devtools.close();
browser.kill();
await once(browser, "exit");
await rm(profile, { recursive: true, force: true, maxRetries: 5 });
process.exit(failed ? 1 : 0);
