// Sends COUNT messages and waits until the broker has stored each one.
//   node producer.js [URL] [TOPIC] [COUNT]
import WebSocket from "ws";

const [url = "ws://127.0.0.1:8080", topic = "example", count = 10] = process.argv.slice(2);
const socket = new WebSocket(`${url}/ws/v2/producer/persistent/public/default/${topic}`);

socket.on("open", () => {
  for (let i = 0; i < count; i++) {
    socket.send(JSON.stringify({
      payload: Buffer.from(`message ${i}`).toString("base64"),
      properties: { sender: "node" },
      key: `key-${i % 3}`,
      context: String(i), // comes back in the answer
    }));
  }
});

let answers = 0;
socket.on("message", (text) => {
  const answer = JSON.parse(text);
  if (answer.result !== "ok") throw new Error(`message ${answer.context}: ${answer.errorMsg}`);
  console.log(`message ${answer.context} is ${answer.messageId}`);
  if (++answers === Number(count)) socket.close(1000);
});

// A refused upgrade (wrong topic, no rights) and a broken connection both arrive here.
socket.on("error", (error) => { throw error; });
socket.on("close", (code, reason) => {
  if (answers < count) throw new Error(`closed after ${answers} answers: ${code} ${reason}`);
});
