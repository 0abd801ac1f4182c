// The gateway's WebSocket: every event of a topic, once and in order, and the live figures. A lost connection is reopened
// after the last event that was seen. The token goes in the first message, and a new one before the old one expires.

import { SignInFailed } from "./session.js";

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;
const SILENCE_MS = 45_000; // the gateway says something every 15 seconds, whatever else it does
const RENEW_BEFORE_MS = 45_000;
const UNAUTHENTICATED = 4401;
const FORBIDDEN = 4403;
const NOT_THIS_LOG = 4410;
const NOT_THIS_LOG_CODES = ["ahead_of_log", "another_log", "archived"];

const FIGURES = "figures";
const EVENTS = "events";

export class Feed {
  #options;
  #socket = null;
  #closed = false;
  #pause = FIRST_PAUSE_MS;
  #seq = null;
  #log = null;
  #first = 1;
  #timers = { retry: 0, renew: 0, silence: 0 };
  #authenticated = false;

  // `topic` is followed from `lookBack` events before the first connection. `token` returns a valid access token.
  // Callbacks: onEvents, onStats, onSeq (everything up to that seq was seen), onState (connecting, live, lost),
  // onAnew, when the log is not the one that was followed, and onRefused, when reconnecting would not help.
  constructor(options) {
    this.#options = options;
  }

  async open() {
    this.#options.onState(this.#seq === null ? "connecting" : "lost");
    let token;
    try {
      token = await this.#options.token();
    } catch (error) {
      if (error instanceof SignInFailed) {
        this.#refused("signed-out", error.message);
      } else {
        this.#again();
      }
      return;
    }
    if (this.#closed) {
      return;
    }
    const address = new URL("/ws", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = (this.#socket = new WebSocket(address));
    this.#authenticated = false;
    socket.addEventListener("open", () => this.#say({ type: "authenticate", token }));
    socket.addEventListener("message", (message) => {
      if (socket === this.#socket) {
        this.#hear(JSON.parse(message.data));
      }
    });
    socket.addEventListener("close", (event) => this.#ended(socket, event));
    this.#watchSilence();
  }

  close() {
    this.#closed = true;
    Object.values(this.#timers).forEach(clearTimeout);
    this.#socket?.close();
  }

  #say(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify(message));
    }
  }

  #hear(message) {
    this.#watchSilence();
    switch (message.type) {
      case "authenticated":
        if (!this.#authenticated) {
          this.#authenticated = true;
          this.#say({ type: "subscribe", subscription: FIGURES, topics: ["stats"] });
        }
        this.#renewBefore(message.expires_at);
        break;
      case "subscribed":
        this.#subscribed(message);
        break;
      case "events":
        this.#options.onEvents(message.events);
        this.#reached(message.seq);
        break;
      case "heartbeat":
        if (this.#seq !== null) {
          this.#reached(message.seq);
        }
        break;
      case "stats":
        this.#options.onStats(message.stats);
        break;
      case "error":
        this.#failed(message);
        break;
    }
  }

  // The figures' subscription says where the log is now; the events' starts a little before that, or where we left off.
  #subscribed({ subscription, after, log }) {
    if (subscription === FIGURES) {
      const known = this.#seq === null ? {} : { log: this.#log };
      const from = this.#seq ?? Math.max(this.#first - 1, after - this.#options.lookBack);
      this.#say({ type: "subscribe", subscription: EVENTS, topics: [this.#options.topic], after: from, ...known });
    } else {
      this.#log = log;
      this.#pause = FIRST_PAUSE_MS;
      this.#reached(after);
      this.#options.onState("live");
    }
  }

  #reached(seq) {
    this.#seq = seq;
    this.#options.onSeq(seq);
  }

  #failed({ code, detail, first_seq }) {
    if (code === "forbidden") {
      this.#refused(code, detail);
    } else {
      this.#first = first_seq ?? this.#first;
      if (NOT_THIS_LOG_CODES.includes(code)) {
        this.#beginAnew();
      }
      this.#abandon();
    }
  }

  #beginAnew() {
    this.#seq = this.#log = null;
    this.#options.onAnew();
  }

  #ended(socket, event) {
    if (socket !== this.#socket || this.#closed) {
      return;
    }
    if (event.code === FORBIDDEN) {
      this.#refused("forbidden", event.reason);
    } else if (event.code === UNAUTHENTICATED && !this.#authenticated) {
      this.#refused("signed-out", "Your session has ended. Please sign in again.");
    } else {
      if (event.code === NOT_THIS_LOG) {
        this.#beginAnew();
      }
      this.#again();
    }
  }

  #again() {
    if (this.#closed) {
      return;
    }
    this.#options.onState("lost");
    clearTimeout(this.#timers.silence);
    this.#timers.retry = setTimeout(() => this.open(), this.#pause * (0.5 + Math.random() / 2));
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
  }

  #abandon() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#again();
  }

  #refused(why, detail) {
    this.close();
    this.#options.onRefused(why, detail);
  }

  #watchSilence() {
    clearTimeout(this.#timers.silence);
    this.#timers.silence = setTimeout(() => this.#abandon(), SILENCE_MS);
  }

  #renewBefore(expiresAt) {
    clearTimeout(this.#timers.renew);
    if (expiresAt !== undefined) {
      const pause = Math.max(1_000, expiresAt * 1_000 - Date.now() - RENEW_BEFORE_MS);
      this.#timers.renew = setTimeout(async () => {
        const token = await this.#options.token().catch(() => null);
        if (token !== null) {
          this.#say({ type: "authenticate", token });
        }
      }, Math.min(pause, 2 ** 31 - 1));
    }
  }
}
