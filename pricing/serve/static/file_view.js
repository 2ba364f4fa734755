// A priced file: how much of it has a price, its first rows, and the whole for download.

import { DOWN, UP, count, element, priceWriter } from "./elements.js";
import { scroll } from "./price_view.js";

const SHOWN = 20;

/** Rows of a CSV text, each a list of strings (RFC 4180). */
export function csvRows(text) {
  const rows = [];
  let row = [];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end !== ",") {
      if (row.length > 1 || row[0] !== "") rows.push(row);
      row = [];
    }
  }
  return rows;
}

/** The answer's rows as objects of column and text. */
export async function readPrices(csv) {
  const [head, ...rows] = csvRows(await csv.text());
  return rows.map(row => Object.fromEntries(head.map((name, place) => [name, row[place] ?? ""])));
}

export function fileInWords(rows) {
  const refused = rows.filter(row => row.error).length;
  const products = `${count(rows.length)} ${rows.length === 1 ? "product" : "products"}`;
  return `${products}: ${count(rows.length - refused)} priced, ${count(refused)} not.`;
}

export function fileView(rows, csv, name, card) {
  const money = priceWriter(card), shown = rows.slice(0, SHOWN);
  const head = (text, className = "") => element("th", { scope: "col", className }, text);
  const line = row => {
    const figures = row.error
      ? [element("td", { className: "words", colSpan: 3 }, `no price: ${row.error}`)]
      : [element("td", {}, money(Number(row.price))),
        element("td", {}, `${money(Number(row.low_80), DOWN)} to ${money(Number(row.high_80), UP)}`),
        element("td", { className: "words" }, `${row.trust}: ${row.reason}`)];
    return element("tr", {}, element("th", { scope: "row", className: "words id" }, row.id), ...figures);
  };
  const table = element("table", {},
    element("caption", {}, rows.length > SHOWN ? `The first ${SHOWN} of ${count(rows.length)} rows` : "All rows"),
    element("thead", {}, element("tr", {}, head("Id", "words"), head("Price"), head("8 of 10 cost"),
      head("Trust", "words"))),
    element("tbody", {}, ...shown.map(line)));
  const download = `${name.replace(/\.[^.]*$/, "")}_prices.csv`;
  const address = URL.createObjectURL(csv);
  return [element("p", {}, element("a", { className: "button", href: address, download }, `Download ${download}`)),
    scroll(table, "Prices")];
}
