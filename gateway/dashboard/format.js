// How numbers are written, in the reader's own language.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const currencies = new Map();

export function count(value) {
  return (Math.abs(value) < 100_000 ? whole : short).format(value);
}

export function percent(share) {
  return `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
}

// `minor` is in the currency's minor units; the currency says how many make one whole.
export function money(minor, currency) {
  const { digits, exact, rounded, compact } = formatsOf(currency);
  const amount = minor / 10 ** digits;
  const size = Math.abs(amount);
  return (size < 1_000 ? exact : size < 100_000 ? rounded : compact).format(amount);
}

export function exactMoney(minor, currency) {
  const { digits, exact } = formatsOf(currency);
  return exact.format(minor / 10 ** digits);
}

function formatsOf(currency) {
  if (!currencies.has(currency)) {
    const options = { style: "currency", currency };
    const exact = new Intl.NumberFormat(undefined, options);
    currencies.set(currency, {
      digits: exact.resolvedOptions().maximumFractionDigits,
      exact,
      rounded: new Intl.NumberFormat(undefined, { ...options, maximumFractionDigits: 0 }),
      compact: new Intl.NumberFormat(undefined, { ...options, notation: "compact", maximumFractionDigits: 1 }),
    });
  }
  return currencies.get(currency);
}

export function milliseconds(value) {
  if (value === null) {
    return "–";
  }
  if (value < 10) {
    return `${value.toFixed(1)} ms`;
  }
  return value < 1_000 ? `${whole.format(value)} ms` : `${(value / 1_000).toFixed(1)} s`;
}

export function duration(seconds) {
  if (seconds < 60) {
    return `${Math.max(1, Math.round(seconds))} s`;
  }
  return seconds < 5_400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`;
}

// A 24-hour clock in every language: short on a wall, and cannot be misread.
const clockFormat = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});

export function clock(time) {
  return clockFormat.format(new Date(time));
}
