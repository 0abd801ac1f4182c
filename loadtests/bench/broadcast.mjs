// The baseline of the feed: Node's `ws`, one frame an event to every socket. Events come on standard input, a line each.

import { createInterface } from "node:readline";
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), perMessageDeflate: false });
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  for (const socket of server.clients) {
    socket.send(line);
  }
});
lines.on("close", () => process.exit(0));
