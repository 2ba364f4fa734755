// The page: a form made from the model's card, a place for files, and the answers.

import { count, element, inPeoplesWords } from "./elements.js";
import { fileInWords, fileView, readPrices } from "./file_view.js";
import { inWords, priceView, whyView } from "./price_view.js";
import * as service from "./service.js";

const at = id => document.getElementById(id);
const HINTS = { title: "name", text: "text", category: "category", number: "number", amount: "amount", image: "link" };

const COMPARABLES = 6;
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeZone: "UTC" });

let card = null;
let asked = null;

/** Ask for the card, and show the form that it describes; without a good key, ask for that. */
async function begin() {
  try {
    showCard(await service.card());
  } catch (error) {
    if (error.status !== 401) return fail(error);
    const again = !at("key").hidden;
    at("key").hidden = false;
    at("asking").hidden = true;
    if (again) fail(new service.Refusal("This key is not the right one.", 401));
    at("key-value").focus();
  }
}

function showCard(found) {
  const before = card && JSON.stringify(card.columns);
  card = found;
  const { error, learnt_from: learnt } = card;
  const typical = error.mdape === null || error.mdape === undefined
    ? `its SMAPE is ${error.smape.toFixed(1)} %` : `half of its prices are within ${error.mdape.toFixed(0)} % of the true one`;
  const judged = error.of === "holdout" ? `On ${count(error.rows)} that it never saw` : "On products that it had not seen";
  at("card").textContent = `The model learnt from ${count(learnt.rows)} products${learnt.file ? ` of ${learnt.file}` : ""} `
    + `(${DAY.format(new Date(card.trained))}). ${judged}, ${typical}.`;
  at("no-images").hidden = card.images !== "not fetched";
  at("asking").hidden = false;
  if (before !== JSON.stringify(card.columns)) at("fields").replaceChildren(...fields());
  if (!at("key").hidden) inputs()[0].focus();
  at("key").hidden = true;
}

/** One labelled field per column that can be typed; the id says nothing of a price. */
function fields() {
  return Object.entries(card.columns).flatMap(([role, names]) => {
    if (!(role in HINTS) || (role === "image" && card.images !== "fetched from allowed hosts")) return [];
    return names.map(name => {
      const id = `column-${role}-${name}`, unit = card.units[name];
      const field = element(role === "text" ? "textarea" : "input", { id, name });
      if (role === "number" || role === "amount") field.inputMode = "decimal";
      if (role === "image") field.inputMode = "url";
      const words = inPeoplesWords(name), hint = role === "amount" ? `in ${unit}` : HINTS[role];
      return element("div", { className: "field" },
        element("label", { htmlFor: id }, words,
          ...(hint === words.toLowerCase() ? [] : [element("span", { className: "soft small" }, hint)])), field);
    });
  });
}

const inputs = () => [...at("fields").querySelectorAll("input, textarea")];

function product() {
  return Object.fromEntries(inputs().filter(input => input.value.trim()).map(input => [input.name, input.value]));
}

/** A pasted JSON object, or two lines of a spreadsheet, as column to value; null where it is neither. */
function pastedProduct(text) {
  let found = null;
  if (text.trim().startsWith("{")) {
    try {
      found = JSON.parse(text);
    } catch { /* a text that begins so */ }
  } else {
    const lines = text.replace(/[\r\n]+$/, "").split(/\r?\n/).map(line => line.split("\t"));
    if (lines.length === 2 && lines[0].length > 1) {
      found = Object.fromEntries(lines[0].map((name, place) => [name.trim(), lines[1][place] ?? ""]));
    }
  }
  return found && inputs().some(input => input.name in found) ? found : null;
}

/** Do one thing at a time: a second question gives up the first one. */
async function answer(saying, work) {
  asked?.abort();
  const mine = asked = new AbortController();
  at("failure").hidden = true;
  say(saying);
  at("ask").setAttribute("aria-disabled", "true");
  try {
    const [words, parts, model] = await work(mine.signal);
    if (mine !== asked) return;
    // of a price the same stands below, larger
    say(words, model !== null);
    at("shown").replaceChildren(...parts);
    if (model && model !== card.model) showCard(await service.card());
  } catch (error) {
    if (error.name === "AbortError" || mine !== asked) return;
    say("");
    at("shown").replaceChildren();
    if (error.status === 401) await begin();
    else fail(error);
  } finally {
    if (mine === asked) {
      at("ask").removeAttribute("aria-disabled");
      if (at("answer").getBoundingClientRect().top > innerHeight - 120) at("answer").scrollIntoView();
    }
  }
}

function say(words, unseen = false) {
  at("status").textContent = words;
  at("status").classList.toggle("unseen", unseen);
}

function fail(error) {
  at("failure").textContent = error.message;
  at("failure").hidden = false;
}

async function pricedProduct(signal) {
  const typed = product(), comparables = card.offers.includes("comparables") ? COMPARABLES : 0;
  const found = await service.price(typed, { comparables }, signal), price = found.prices[0];
  if (price.error) throw new service.Refusal(`This product has no price: ${price.error}.`, 200);
  const reasons = element("div", { id: "reasons" });
  if (card.offers.includes("explain")) explain(typed, reasons, signal);
  return [inWords(price, card), priceView(price, card, reasons), found.model];
}

async function explain(typed, place, signal) {
  place.append(element("p", { className: "soft" }, "Working out why…"));
  try {
    const [price] = (await service.price(typed, { explain: true }, signal)).prices;
    place.replaceChildren(...whyView(price, card));
  } catch (error) {
    if (error.name !== "AbortError") place.replaceChildren(element("p", { className: "failure" }, error.message));
  }
}

async function pricedFile(file, signal) {
  const most = card.limits.body;
  if (file.size > most) throw new service.Refusal(`${file.name} is larger than ${count(most)} bytes; send it in parts.`, 413);
  const csv = await service.priceFile(file, signal), rows = await readPrices(csv);
  return [`${file.name}: ${fileInWords(rows)}`, fileView(rows, csv, file.name, card), null];
}

at("key").addEventListener("submit", event => {
  event.preventDefault();
  at("failure").hidden = true;
  service.useKey(at("key-value").value);
  at("key-value").value = "";
  begin();
});

at("product").addEventListener("submit", event => {
  event.preventDefault();
  if (Object.keys(product()).length) return answer("Pricing…", pricedProduct);
  fail(new service.Refusal("Write something of the product first.", 0));
  inputs()[0].focus();
});

at("product").addEventListener("keydown", event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("product").requestSubmit();
});

at("fields").addEventListener("paste", event => {
  const found = pastedProduct(event.clipboardData.getData("text/plain"));
  if (!found) return;
  event.preventDefault();
  for (const input of inputs()) if (input.name in found) input.value = found[input.name] ?? "";
  say("Filled in what was pasted.");
});

// the same file once more, changed meanwhile
at("file").addEventListener("click", () => {
  at("file").value = "";
});

at("file").addEventListener("change", () => {
  const [file] = at("file").files;
  if (file) answer(`Pricing ${file.name}…`, signal => pricedFile(file, signal));
});

// a file that is dropped beside the place for it would be opened instead of the page
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, event => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.toggle("dragging", kind === "dragover");
    const [file] = kind === "drop" && card ? event.dataTransfer.files : [];
    if (file) answer(`Pricing ${file.name}…`, signal => pricedFile(file, signal));
  });
}

begin();
