// Sorts a table by the column whose head is clicked. A second click reverses the order. Unknown values stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];

  const order = (column, direction, textual) => (a, b) => {
    const [x, y] = [a, b].map((row) => row.cells[column]);
    const sign = direction === "ascending" ? 1 : -1;
    if (textual) return sign * x.textContent.trim().localeCompare(y.textContent.trim(), "en", { numeric: true });
    const [known, also] = [x, y].map((cell) => cell.dataset.value !== "");
    if (!known || !also) return Number(also) - Number(known);
    return sign * (Number(x.dataset.value) - Number(y.dataset.value));
  };

  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const opposite = { ascending: "descending", descending: "ascending" };
      const direction = opposite[now] ?? head.dataset.first;
      for (const other of heads) other.setAttribute("aria-sort", other === head ? direction : "none");
      body.append(...[...body.rows].sort(order(column, direction, head.dataset.kind === "text")));
    });
  });
}
