// Receives COUNT messages of a subscription and acknowledges each.
//   node consumer.js [URL] [TOPIC] [COUNT]
import WebSocket from "ws";

const [url = "ws://127.0.0.1:8080", topic = "example", count = 10] = process.argv.slice(2);
const query = new URLSearchParams({ subscriptionType: "Shared", subscriptionInitialPosition: "Earliest" });
const socket = new WebSocket(`${url}/ws/v2/consumer/persistent/public/default/${topic}/node-example?${query}`);

let received = 0;
socket.on("message", (text) => {
  const message = JSON.parse(text);
  console.log(`${message.messageId} ${message.key}: ${Buffer.from(message.payload, "base64")}`);
  // {"type": "negativeAcknowledge", "messageId": …} would ask for it again.
  socket.send(JSON.stringify({ messageId: message.messageId }));
  if (++received === Number(count)) socket.close(1000);
});

// A refused upgrade (wrong topic, no rights) and a broken connection both arrive here.
socket.on("error", (error) => { throw error; });
socket.on("close", (code, reason) => {
  if (received < count) throw new Error(`closed after ${received} messages: ${code} ${reason}`);
});
