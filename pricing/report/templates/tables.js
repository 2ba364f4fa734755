// Tables of class "sort" are sorted by a click on a head; those with data-search="WORDS" are searched, and show their first rows alone.
for (const table of document.querySelectorAll("table.sort")) {
  const body = table.tBodies[0], rows = [...body.rows], first = 20;
  const key = (row, place) => row.cells[place].dataset.sort ?? row.cells[place].textContent.trim();
  const compare = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
  // what is not known stands last in both directions
  const order = (a, b, sign) => a === "" || b === "" ? (a === "") - (b === "") : sign * compare(a, b);
  const add = (tag, words) => Object.assign(document.createElement(tag), {textContent: words});
  let wanted = "", all = !("search" in table.dataset) || rows.length <= first + 5;
  const found = add("span", ""), more = add("button", `Show all ${rows.length}`);
  const show = () => {
    const held = [...body.rows].filter(row => row.textContent.toLowerCase().includes(wanted));
    for (const row of rows) row.hidden = true;
    for (const row of all || wanted ? held : held.slice(0, first)) row.hidden = false;
    found.textContent = wanted ? `${held.length} of ${rows.length}` : "";
    more.hidden = all || wanted !== "";
  };
  [...table.tHead.rows[0].cells].forEach((head, place) => {
    const button = add("button", "");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sorted = [...rows].sort((a, b) => order(key(a, place), key(b, place), down ? -1 : 1));
      body.append(...sorted);
      show();
    });
  });
  if ("search" in table.dataset) {
    const label = add("label", `${table.dataset.search} `), input = document.createElement("input"), line = add("p", "");
    input.type = "search";
    found.setAttribute("role", "status");
    label.append(input);
    line.append(label, " ", found);
    table.parentElement.before(line);
    table.parentElement.after(more);
    input.addEventListener("input", () => { wanted = input.value.toLowerCase(); show(); });
    more.addEventListener("click", () => { all = true; show(); });
    show();
  }
}
