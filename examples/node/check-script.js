// Not an example but a check where no browser is at hand: runs the script of browser/index.html in Node, with the page's
// elements played by plain objects and WebSocket by `ws`, and presses its buttons.
//   node check-script.js PAGE URL TOPIC
import { readFile } from "node:fs/promises";
import { createContext, runInContext } from "node:vm";
import WebSocket from "ws";

const [page, url, topic] = process.argv.slice(2);
const html = await readFile(page, "utf8");
const script = /<script>(.*)<\/script>/s.exec(html)[1];

// What the page has by id, with the values that its inputs begin with.
const elements = {};
for (const [, id] of html.matchAll(/ id="(\w+)"/g)) {
  elements[id] = { value: new RegExp(`id="${id}" value="([^"]*)"`).exec(html)?.[1] ?? "", textContent: "" };
}
const find = (id) => elements[id] ?? (() => { throw new Error(`the page has no element ${id}`); })();
runInContext(script, createContext({
  document: { getElementById: find },
  location: { search: `?${new URLSearchParams({ url, topic })}` },
  WebSocket, URLSearchParams, TextEncoder, TextDecoder, btoa, atob,
}));

let failed = false;
for (const [button, expected] of [["produce", /^stored as C/], ["consume", /^consumed C.*: Hello/], ["read", /^read C.*: Hello/]]) {
  await find(button).onclick();
  const line = find("log").textContent.trim().split("\n").at(-1);
  console.log(line);
  failed ||= !expected.test(line);
}
process.exit(failed ? 1 : 0);
