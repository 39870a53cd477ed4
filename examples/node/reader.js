// Reads the first COUNT messages of a topic, without a subscription.
//   node reader.js [URL] [TOPIC] [COUNT]
import WebSocket from "ws";

const [url = "ws://127.0.0.1:8080", topic = "example", count = 10] = process.argv.slice(2);
// `messageId` may also be an id from an earlier run: reading goes on behind it. Default: latest.
const socket = new WebSocket(`${url}/ws/v2/reader/persistent/public/default/${topic}?messageId=earliest`);

let received = 0;
socket.on("message", (text) => {
  const message = JSON.parse(text);
  console.log(`${message.messageId} ${message.publishTime}: ${Buffer.from(message.payload, "base64")}`);
  // An acknowledgement makes room for the next message; it stores nothing.
  socket.send(JSON.stringify({ messageId: message.messageId }));
  if (++received === Number(count)) socket.close(1000);
});

// A refused upgrade (wrong topic, no rights) and a broken connection both arrive here.
socket.on("error", (error) => { throw error; });
socket.on("close", (code, reason) => {
  if (received < count) throw new Error(`closed after ${received} messages: ${code} ${reason}`);
});
