// Numbers and times in the viewer's language and zone.

import { locale } from "./texts.js";

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

/** 1 kB is 1,000 bytes. */
export function bytes(count) {
  const power = count < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(count) / 3));
  const options = { style: "unit", unit: UNITS[power], unitDisplay: power ? "short" : "long", maximumFractionDigits: power ? 1 : 0 };
  return new Intl.NumberFormat(locale(), options).format(count / 1000 ** power);
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);
}

export function percent(share) {
  return new Intl.NumberFormat(locale(), { style: "percent" }).format(share);
}

export function dollars(value) {
  const options = { style: "currency", currency: "USD", maximumSignificantDigits: 3 };
  return new Intl.NumberFormat(locale(), options).format(value);
}

export function seconds(milliseconds) {
  const options = { style: "unit", unit: "second", unitDisplay: "short", maximumFractionDigits: 2 };
  return new Intl.NumberFormat(locale(), options).format(milliseconds / 1000);
}

export function time(text) {
  const options = { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(locale(), options).format(new Date(text));
}

export function day(text) {
  return new Intl.DateTimeFormat(locale(), { month: "short", day: "numeric", timeZone: "UTC" }).format(new Date(text));
}
