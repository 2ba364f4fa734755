// Elements and figures. Texts of products become text nodes and nothing else.

/** An element with properties and children; strings become text. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** A part of a figure that only the eye needs: the same is said in words beside it. */
export function mark(className, left, width) {
  const made = element("i", { className });
  if (left !== null) made.style.left = `${left}%`;
  if (width !== null) made.style.width = `${width}%`;
  return made;
}

/** The name of a column or an item as people write. */
export function inPeoplesWords(name) {
  const words = name.replaceAll("_", " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/**
 * How prices are written: as in the run's files, with its decimals and at least three digits. What is added to a price
 * has as many decimals as the price that it is `like`.
 */
export function priceWriter(card) {
  return (value, { roundingMode = "halfEven", like = value } = {}) => {
    const size = Number(like.toExponential(2).split("e")[1]);
    const digits = Math.max(card.decimals, 2 - size);
    const options = { minimumFractionDigits: digits, maximumFractionDigits: digits, roundingMode };
    return `${card.sign}${new Intl.NumberFormat("en", options).format(value)}`;
  };
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** Ends of an interval are rounded outward. */
export const DOWN = { roundingMode: "floor" }, UP = { roundingMode: "ceil" };

export const count = value => whole.format(value);

export function percent(value) {
  const text = (Math.abs(value) < 9.95 ? tenth : whole).format(Math.abs(value));
  return signed(value, `${text} %`);
}

/** The text of a value's size behind its sign, a minus as long as a plus; what is written as nothing has none. */
export function signed(value, text) {
  return /[1-9]/.test(text) ? `${value > 0 ? "+" : "\u2212"}${text}` : text;
}
