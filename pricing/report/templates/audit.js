// Sorts the price audit by a column and shows the rows that hold what is searched for.
for (const table of document.querySelectorAll("table.audit")) {
  const body = table.tBodies[0], rows = [...body.rows];
  const key = (row, place) => row.cells[place].dataset.sort ?? row.cells[place].textContent;
  const compare = (a, b) => a === "" ? 1 : b === "" ? -1 : isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
  table.querySelectorAll("thead button").forEach((button, place) => button.addEventListener("click", () => {
    const head = button.closest("th"), down = head.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sorted = [...rows].sort((a, b) => compare(key(a, place), key(b, place)));
    body.append(...(down ? sorted.reverse() : sorted));
  }));
  const search = document.getElementById("audit-search");
  search.closest("p").hidden = false;
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}
