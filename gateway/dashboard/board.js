// The figures on the board, which arrive once a second.

import { Chart } from "./chart.js";
import { byId, mark, set } from "./dom.js";
import { count, duration, exactMoney, milliseconds, money, percent } from "./format.js";
import { showFast, showLow, showRefusals } from "./lists.js";
import { Samples } from "./samples.js";

const BACKLOG_ALARM = 5_000;
const REFUSED_ALARM_SHARE = 0.2;
const LATENCY_ALARM_MS = 1_000;
const FAILED_ALARM_SHARE = 0.5;
const PENDING_ALARM_SECONDS = 900;
const TREND_SECONDS = 60;
const LEAST_ORDERS = 10;
const LEAST_REVENUE_MINOR = 10_000;

export class Board {
  #samples = new Samples();
  #ordersChart = new Chart(byId("orders-chart"), "Orders per minute");
  #revenueChart = new Chart(byId("revenue-chart"), "Revenue per minute");
  #currency = "GBP";

  counted(stats) {
    if (stats.past !== undefined) {
      this.#samples.backfill(stats.past);
    }
    this.#samples.add(stats.at, stats.orders_per_minute, stats.revenue_minor_per_minute);
    this.#showOrders(stats);
    this.#showRevenue(stats);
    this.#showVitals(stats);
    this.#showMoney(stats);
    showFast(stats.top_skus);
    showLow(stats.shelf);
    showRefusals(stats.rejections, stats.missed_skus);
  }

  #showOrders(stats) {
    const orders = (sample) => sample.orders;
    set("orders", count(stats.orders_per_minute));
    set("orders-note", `${count(stats.orders_last_second)} in the last second`);
    trend("orders-trend", stats.orders_per_minute, this.#samples.before(TREND_SECONDS, orders));
    this.#ordersChart.draw(this.#samples.points(orders), count, LEAST_ORDERS);
  }

  // With several currencies, the chart shows the one with the most revenue; the others are listed below it.
  #showRevenue(stats) {
    const revenue = Object.entries(stats.revenue_minor_per_minute).sort((a, b) => b[1] - a[1]);
    const [currency, taken] = revenue[0] ?? [this.#currency, 0];
    this.#currency = currency;
    const written = (minor) => money(minor, currency);
    const inCurrency = (sample) => sample.revenue[currency] ?? 0;
    const others = revenue.slice(1).map(([code, minor]) => `and ${money(minor, code)}`);
    const average = revenue.length === 1 ? [`${exactMoney(taken / stats.orders_per_minute, currency)} an order`] : [];
    set("revenue", written(taken));
    set("revenue-note", [...average, ...others].join(" "));
    trend("revenue-trend", taken, this.#samples.before(TREND_SECONDS, inCurrency));
    this.#revenueChart.draw(this.#samples.points(inCurrency), written, LEAST_REVENUE_MINOR);
  }

  #showVitals(stats) {
    const { p50, p99 } = stats.accept_to_commit_ms;
    const refused = Object.values(stats.rejections).reduce((sum, times) => sum + times, 0);
    const asked = stats.orders_per_minute + stats.refused_orders_per_minute;
    const share = asked ? stats.refused_orders_per_minute / asked : 0;
    const { backlog } = stats;
    vital("confirmed", count(stats.confirmed_per_minute),
      `${count(stats.cancelled_per_minute)} cancelled, ${count(stats.expired_per_minute)} expired`);
    vital("refused", count(refused), asked ? `${percent(share)} of the orders` : "no orders", share > REFUSED_ALARM_SHARE);
    vital("backlog", backlog === null ? "?" : count(backlog),
      backlog === null ? "Redis is unavailable" : backlog === 1 ? "command waits" : "commands wait",
      backlog === null || backlog > BACKLOG_ALARM);
    vital("latency", milliseconds(p50), p99 === null ? "half of all commands" : `99 % within ${milliseconds(p99)}`,
      p99 > LATENCY_ALARM_MS);
  }

  #showMoney(stats) {
    const { charged_payments_per_minute: charged, failed_payments_per_minute: failed, waiting } = stats;
    const paid = Object.entries(stats.paid_minor_per_minute).sort((a, b) => b[1] - a[1]);
    const [currency, taken] = paid[0] ?? [this.#currency, 0];
    const others = paid.slice(1).map(([code, minor]) => `and ${money(minor, code)}`);
    const share = charged + failed ? failed / (charged + failed) : 0;
    vital("paid", money(taken, currency), [charged === 1 ? "1 payment" : `${count(charged)} payments`, ...others].join(" "));
    vital("failed", count(failed), charged + failed ? `${percent(share)} in a minute` : "in a minute",
      share > FAILED_ALARM_SHARE);
    if (waiting === null) {
      vital("pending", "?", "not known now");
      vital("checkouts", "?", "not known now");
      return;
    }
    const oldest = waiting.oldest_pending_seconds;
    vital("pending", count(waiting.pending_payments), oldest === null ? "nobody waits" : `for up to ${duration(oldest)}`,
      oldest > PENDING_ALARM_SECONDS);
    vital("checkouts", count(waiting.open_checkouts),
      `${count(waiting.active_checkouts)} active, ${count(stats.completed_checkouts_per_minute)} completed`);
  }
}

function vital(id, figure, note, alarm = false) {
  set(id, figure);
  set(`${id}-note`, note);
  mark(byId(id).parentElement, "alarm", alarm ? "yes" : "no");
}

function trend(id, now, before) {
  const change = before ? Math.round((100 * (now - before)) / before) : 0;
  const said = change > 999 ? "over tenfold" : `${Math.abs(change)} %`;
  set(id, change === 0 ? "" : `${change > 0 ? "↑" : "↓"} ${said} in a minute`);
  mark(byId(id), "way", change > 0 ? "up" : "down");
}
