// The state of the connection, for everyone to see: figures that are no longer updated must not look live.

import { byId, mark, set } from "./dom.js";
import { clock } from "./format.js";

const LATE_MS = 5_000;

export class Connection {
  #state = "off";
  #lastFigures = 0;

  constructor() {
    setInterval(() => this.#show(), 1_000);
    this.#show();
  }

  is(state) {
    this.#state = state;
    if (state !== "lost") {
      this.#lastFigures = Date.now();
    }
    this.#show();
  }

  figuresCame() {
    this.#lastFigures = Date.now();
    this.#show();
  }

  #show() {
    const late = this.#state === "live" && Date.now() - this.#lastFigures > LATE_MS;
    const since = `last figures at ${clock(this.#lastFigures)}`;
    const texts = {
      off: "Not connected", connecting: "Connecting…", live: "Live",
      late: `No updates, ${since}`, lost: `Connection lost, ${since}`,
    };
    const state = late ? "late" : this.#state;
    mark(byId("connection"), "state", state);
    mark(byId("board"), "state", state);
    set("connection-text", texts[state]);
    set("clock", clock(Date.now()));
  }
}
