// Live orders. There may be thousands a second, so only the latest are shown, a few times a second.

import { byId, row, set, mark } from "./dom.js";
import { clock, count, exactMoney } from "./format.js";

const LATEST_MAX = 40;
const PAINT_EVERY_MS = 200;

export class Orders {
  #waiting = [];
  #painting = false;
  #seq = 0;

  happened(events) {
    this.#waiting.push(...events.slice(-LATEST_MAX));
    this.#waiting.splice(0, this.#waiting.length - LATEST_MAX);
    this.#paintSoon();
  }

  reached(seq) {
    this.#seq = Math.max(this.#seq, seq);
    this.#paintSoon();
  }

  clear() {
    this.#waiting = [];
    this.#seq = 0;
    byId("latest").replaceChildren();
    byId("latest-empty").hidden = false;
  }

  #paintSoon() {
    if (!this.#painting) {
      this.#painting = true;
      setTimeout(() => {
        this.#painting = false;
        this.#paint();
      }, PAINT_EVERY_MS);
    }
  }

  #paint() {
    set("seq", this.#seq.toLocaleString());
    mark(byId("seq"), "seq", String(this.#seq));
    if (this.#waiting.length === 0) {
      return;
    }
    const body = byId("latest");
    body.prepend(...this.#waiting.reverse().map(orderRow));
    this.#waiting = [];
    while (body.rows.length > LATEST_MAX) {
      body.deleteRow(-1);
    }
    byId("latest-empty").hidden = true;
  }
}

function orderRow({ seq, type, time, subject, data }) {
  const what = type.slice(type.indexOf(".") + 1);
  const pieces = data.lines?.reduce((sum, line) => sum + line.quantity, 0);
  const total = data.total_minor === undefined ? "" : exactMoney(data.total_minor, data.currency);
  const line = row([clock(time), data.number ?? subject.slice(-6), what, pieces === undefined ? "" : count(pieces), total], 3);
  line.dataset.seq = seq;
  line.dataset.what = what;
  line.title = `Order ${subject}, event ${seq.toLocaleString()}`;
  return line;
}
