// What the page asks the service. The key is held here, in memory, and goes nowhere else.

let key = "";

export function useKey(value) {
  key = value;
}

/** What the service refused: its words, and the HTTP status (0 where it was not reached). */
export class Refusal extends Error {
  constructor(said, status) {
    super(said);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const headers = { ...options.headers, ...(key && { "X-API-Key": key }) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The service does not answer. Check that it runs, and try again.", 0);
  }
  if (answer.ok) return answer;
  let said = `The service answered ${answer.status}.`;
  try {
    said = (await answer.json()).error ?? said;
  } catch { /* no JSON */ }
  const wait = answer.headers.get("Retry-After");
  throw new Refusal(wait ? `${said} (in ${wait} s)` : said, answer.status);
}

export async function card() {
  return (await ask("model")).json();
}

/** One product's price; `more` asks for comparables and explanation, as POST /price has them. */
export async function price(product, more, signal) {
  const body = JSON.stringify({ products: [product], ...more });
  const headers = { "Content-Type": "application/json" };
  return (await ask("price", { method: "POST", headers, body, signal })).json();
}

/** A priced file as a Blob of CSV, whatever the file's own format. */
export async function priceFile(file, signal) {
  const headers = { Accept: "text/csv", "Content-Type": "application/octet-stream" };
  return (await ask("price/file", { method: "POST", headers, body: file, signal })).blob();
}

/** A labelled product's thumbnail as a data address; null where it has none. */
export async function thumbnail(id) {
  try {
    const image = await (await ask(`thumbnail?id=${encodeURIComponent(id)}`)).blob();
    return await new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.onerror = () => reject(reader.error);
      reader.readAsDataURL(image);
    });
  } catch {
    return null;
  }
}
