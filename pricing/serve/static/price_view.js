// One product's price: interval, trust, what it is made of, what it was compared with.

import { DOWN, UP, element, inPeoplesWords, mark, percent, priceWriter, signed } from "./elements.js";
import { thumbnail } from "./service.js";

const MOST_ITEMS = 10;
const REST = "smaller ones together";
const TRUST = {
  high: "The model knows such products.",
  fair: "Take it as a first guess.",
  low: "Do not rely on this price.",
};

/** What a screen reader is told; the same stands on the page. */
export function inWords(price, card) {
  const money = priceWriter(card);
  return `Price ${money(price.price)}. 8 of 10 such products cost ${money(price.low_80, DOWN)} to `
    + `${money(price.high_80, UP)}. Trust ${price.trust}.`;
}

/** What is there at once; `reasons` is the place of `whyView`, which takes longer. */
export function priceView(price, card, reasons) {
  const money = priceWriter(card);
  const similar = price.comparables?.length ? comparables(price.comparables, card, money) : [];
  return [headline(price, money), trust(price), reasons, ...similar];
}

function headline(price, money) {
  const span = (low, high) => element("strong", {}, `${money(low, DOWN)} to ${money(high, UP)}`);
  return element("div", { className: "price" },
    element("p", {}, "Price"),
    element("b", {}, money(price.price)),
    range(price),
    element("p", {}, "8 of 10 such products cost ", span(price.low_80, price.high_80)),
    element("p", {}, "19 of 20 cost ", span(price.low_95, price.high_95)));
}

/** The intervals on a scale of logs; the figures stand below. */
function range(price) {
  const low = Math.log(price.low_95), width = Math.max(Math.log(price.high_95) - low, 1e-9);
  const at = value => 100 * (Math.log(value) - low) / width;
  return element("div", { className: "range", "aria-hidden": "true" },
    mark("wide", 0, 100),
    mark("narrow", at(price.low_80), at(price.high_80) - at(price.low_80)),
    mark("point", at(price.price), null));
}

function trust(price) {
  return element("p", { className: "trust" },
    element("b", { className: price.trust }, `Trust ${price.trust}`), `${TRUST[price.trust]} Grounds: ${price.reason}.`);
}

/** The largest contributions, the others as one: log contributions add up, and so does the money. */
function shortened(all) {
  if (all.length <= MOST_ITEMS + 1) return all;
  const rest = all.slice(MOST_ITEMS), sum = name => rest.reduce((total, one) => total + one[name], 0);
  const added = sum("log_contribution");
  const last = { item: `${rest.length} ${REST}`, log_contribution: added, money: sum("money"), percent: 100 * Math.expm1(added) };
  return [...all.slice(0, MOST_ITEMS), last];
}

export function whyView(price, card) {
  const money = priceWriter(card);
  const items = shortened(price.why);
  const most = Math.max(...items.map(one => Math.abs(one.log_contribution)), 1e-9);
  const head = (text, more) => element("th", { scope: "col", ...more }, text);
  const line = one => {
    const up = one.log_contribution >= 0;
    return element("tr", {},
      element("th", { scope: "row", className: "words" }, inPeoplesWords(one.item)),
      element("td", { className: "bar", "aria-hidden": "true" },
        element("span", {}, mark(up ? "up" : "down", null, 50 * Math.abs(one.log_contribution) / most))),
      element("td", {}, percent(one.percent)),
      element("td", {}, signed(one.money, money(Math.abs(one.money), { like: price.price }))));
  };
  const total = (words, value, className) => element("tr", { className },
    element("th", { scope: "row", className: "words" }, words), element("td", { "aria-hidden": "true" }),
    element("td", {}), element("td", {}, money(value, { like: price.price })));
  const exact = price.explained_exactly;
  const table = element("table", { className: "why" },
    element("caption", {}, "What each item adds to the price that a typical product has"),
    element("thead", {}, element("tr", {}, head("Item", { className: "words" }), element("td", {}),
      head("Percent"), head("Money"))),
    element("tbody", {}, total("Typical product", price.base, ""), ...items.map(line),
      total("This product", price.price, "sum")));
  const said = exact >= 0.9995 ? "All of it is computed exactly."
    : `${Math.round(100 * exact)} % of the models' weight is explained exactly, the rest approximately.`;
  return [element("h3", {}, "Why this price"), scroll(table, "Why this price"),
    element("p", { className: "soft small" }, `${said} Percentages multiply, money adds up.`)];
}

function comparables(found, card, money) {
  const pictures = card.offers.includes("thumbnails");
  const lines = found.map(one => {
    const picture = element("span", { className: "picture", "aria-hidden": "true" });
    if (pictures) show(picture, one.id);
    return element("li", {}, ...(pictures ? [picture] : []),
      element("span", { className: "name" }, one.title || one.id),
      element("span", { className: "costs" }, money(one.price),
        element("span", { className: "soft small" }, `${Math.round(100 * one.similarity)} % alike`)));
  });
  return [element("h3", {}, "Compared with"),
    element("p", { className: "soft small" }, "The most similar products that the model learnt from, and what they cost."),
    element("ul", { className: pictures ? "similar" : "similar plain" }, ...lines)];
}

async function show(place, id) {
  const address = await thumbnail(id);
  place.replaceChildren(address ? element("img", { alt: "", src: address }) : "no image");
}

/** A part that scrolls sideways, by keyboard too. */
export function scroll(table, label) {
  return element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": label }, table);
}
