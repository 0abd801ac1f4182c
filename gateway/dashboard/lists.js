// The ranked lists: a few rows, each on a bar that shows how it compares with the first.

import { byId, row } from "./dom.js";
import { count, duration } from "./format.js";

const ROWS_MAX = 6;
const MISSED_MAX = 3;
const LOW_PIECES = 20; // the gateway lists as low what has this many left, or fewer

const REASONS = {
  insufficient_stock: "Not enough in stock",
  not_on_sale: "Not on sale",
  unknown_sku: "Unknown SKU",
  mixed_currencies: "Mixed currencies",
  order_total_exceeded: "Total too high",
  order_state_conflict: "Order changed in the meantime",
  order_not_found: "No such order",
  command_failed: "Internal error",
};

function reason(code) {
  const words = code.replaceAll("_", " ");
  return REASONS[code] ?? words[0].toUpperCase() + words.slice(1);
}

export function showFast(rows) {
  const lines = rows.slice(0, ROWS_MAX).map(({ sku, name, pieces, available }) => ({
    texts: [name ?? sku, count(pieces), available === null ? "" : available === 0 ? "sold out" : count(available)],
    title: sku, share: pieces / rows[0].pieces, alarm: available === 0,
  }));
  fill("fast", lines);
}

// With how long the stock will last at the last minute's pace.
export function showLow({ low, low_skus, sold_out_skus }) {
  const lines = low.slice(0, ROWS_MAX).map(({ sku, name, available, pieces }) => ({
    texts: [name, count(available), pieces === 0 ? "–" : duration((60 * available) / pieces)],
    title: sku, share: Math.min(1, available / LOW_PIECES), alarm: pieces > 0 && available <= pieces,
  }));
  fill("low", lines);
  const parts = [];
  if (sold_out_skus > 0) {
    parts.push(`${count(sold_out_skus)} sold out`);
  }
  if (low_skus > lines.length) {
    parts.push(`${count(low_skus)} low`);
  }
  byId("low-note").textContent = parts.join(", ");
  byId("low-empty").textContent = sold_out_skus > 0 ? "Everything else is well stocked." : "Everything is well stocked.";
}

export function showRefusals(rejections, missed) {
  const reasons = Object.entries(rejections);
  const wanted = missed.slice(0, MISSED_MAX);
  const room = ROWS_MAX - (wanted.length > 0 ? wanted.length + 1 : 0);
  const lines = reasons.slice(0, room).map(([code, times]) => ({
    texts: [reason(code), count(times)], title: code, share: times / reasons[0][1],
  }));
  fill("refusals", lines);
  const wants = wanted.map(({ sku, name, orders }) => ({
    texts: [name ?? sku, count(orders)], title: sku, share: orders / wanted[0].orders,
  }));
  fill("missed", wants);
}

function name(text) {
  const element = document.createElement("span");
  element.className = "name";
  element.textContent = text;
  return element;
}

function fill(id, lines) {
  const body = byId(id);
  body.replaceChildren(
    ...lines.map(({ texts, title, share, alarm }) => {
      const line = row(texts, 1);
      line.cells[0].replaceChildren(name(texts[0]));
      line.title = title;
      line.style.setProperty("--share", `${(100 * share).toFixed(1)}%`);
      line.dataset.alarm = alarm ? "yes" : "no";
      return line;
    }),
  );
  body.parentElement.hidden = lines.length === 0;
  const empty = byId(`${id}-empty`);
  if (empty !== null) {
    empty.hidden = lines.length > 0;
  }
}
