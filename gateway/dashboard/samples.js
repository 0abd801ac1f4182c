// The figures of the last ten minutes, for charts and trends. The gateway sends those from before we connected, so that
// a chart is complete from its first second, and again after a lost connection.

export const SPAN_SECONDS = 600;

export class Samples {
  #all = [];

  backfill({ at, orders_per_minute, revenue_minor_per_minute }) {
    const revenue = Object.entries(revenue_minor_per_minute);
    this.#all = at.map((moment, index) => ({
      at: moment,
      orders: orders_per_minute[index],
      revenue: Object.fromEntries(revenue.map(([currency, amounts]) => [currency, amounts[index]])),
    }));
  }

  add(at, orders, revenue) {
    while (this.#all.length > 0 && this.#all.at(-1).at >= at) {
      this.#all.pop();
    }
    this.#all.push({ at, orders, revenue });
    while (this.#all[0].at < at - SPAN_SECONDS) {
      this.#all.shift();
    }
  }

  points(value) {
    return this.#all.map((sample) => ({ at: sample.at, value: value(sample) }));
  }

  // The value `seconds` before the latest sample, or null if that is not known.
  before(seconds, value) {
    const at = this.#all.at(-1).at - seconds;
    const sample = this.#all.findLast((candidate) => candidate.at <= at);
    return sample === undefined ? null : value(sample);
  }
}
