/**
 * A cell of a CSV file (RFC 4180). Names and ids come from outside, and people open these files with spreadsheets, which
 * take a cell that begins like a formula for one: such a cell begins with an apostrophe (OWASP, CSV Injection).
 */

/** As spreadsheets read them, full-width signs included; a tab, a carriage return or a line feed is dropped before one looks. */
const FORMULA = /^[=+\-@＝＋－＠\t\r\n]/u;
const NUMBER = /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i;
const NEEDS_QUOTES = /[",\r\n]/;

export function csvCell(text: string): string {
  const harmless = FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text;
  return NEEDS_QUOTES.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
