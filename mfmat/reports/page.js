"use strict";

// A table is sorted by the number a cell stands for, else by its text.
function sortable(table) {
  const body = table.tBodies[0];
  const heads = table.querySelectorAll("thead th");
  heads.forEach((head, column) => {
    const cells = [...body.rows].map((row) => row.cells[column]);
    if (cells.length < 2 || cells.some((cell) => cell.querySelector("svg"))) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const first = head.classList.contains("number") ? "descending" : "ascending";
      const second = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? second : first;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const rows = [...body.rows].map((row) => [row, row.cells[column]]);
      rows.sort(([, a], [, b]) => compare(a, b, sign));
      body.append(...rows.map(([row]) => row));
    });
  });
}

const alphabet = new Intl.Collator(undefined, { numeric: true });

function compare(a, b, sign) {
  const x = a.dataset.value, y = b.dataset.value;
  // Cells without a number stand last, whichever way the column is sorted.
  if ((x === undefined) !== (y === undefined)) return x === undefined ? 1 : -1;
  if (x !== undefined) return sign * (Number(x) - Number(y));
  return sign * alphabet.compare(a.textContent, b.textContent);
}

// A row is shown that has every word, and in each column that is picked by, the text that was picked.
function filterable(box) {
  const rows = [...document.getElementById(box.dataset.table).tBodies[0].rows];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const input = box.querySelector("input"), picks = [...box.querySelectorAll("select")];
  const output = box.querySelector("output");
  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean), picked = picks.filter((pick) => pick.value);
    let shown = 0;
    rows.forEach((row, i) => {
      row.hidden = !words.every((word) => texts[i].includes(word)) ||
        picked.some((pick) => row.cells[pick.dataset.column].textContent !== pick.value);
      shown += !row.hidden;
    });
    output.textContent = words.length + picked.length ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
  };
  box.addEventListener("input", show);
  box.hidden = false;
  show();
}

// The point nearest to the pointer tells its name; arrow keys go from point to point.
function telling(plot) {
  const tip = document.getElementById("tip");
  const points = [...plot.querySelectorAll(".point")].map((node) => {
    const title = node.querySelector("title");
    title.remove();
    return { node, label: title.textContent, x: Number(node.getAttribute("cx")), y: Number(node.getAttribute("cy")) };
  }).sort((a, b) => a.x - b.x || a.y - b.y);
  let now = -1;

  function show(i) {
    if (now >= 0) points[now].node.classList.remove("near");
    now = i;
    if (i < 0) return void (tip.style.opacity = 0);
    const { node, label } = points[i];
    node.classList.add("near");
    if (tip.textContent !== label) tip.textContent = label;
    const at = node.getBoundingClientRect(), box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(at.x + at.width / 2 - box.width / 2, 8), document.documentElement.clientWidth - box.width - 8);
    const above = at.y - box.height - 8;
    tip.style.transform = `translate(${left}px, ${above > 8 ? above : at.bottom + 8}px)`;
    tip.style.opacity = 1;
  }

  function nearest(event) {
    const to = plot.getScreenCTM();
    let best = -1, least = 24 ** 2;
    points.forEach((point, i) => {
      const away = (point.x * to.a + to.e - event.clientX) ** 2 + (point.y * to.d + to.f - event.clientY) ** 2;
      if (away < least) [best, least] = [i, away];
    });
    if (best !== now) show(best);
  }

  plot.addEventListener("pointermove", nearest);
  plot.addEventListener("pointerdown", nearest);
  // A finger leaves as it is lifted: what it pointed at stays, until another place is touched.
  plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && show(-1));
  addEventListener("pointerdown", (event) => now >= 0 && !plot.contains(event.target) && show(-1), true);
  plot.addEventListener("pointercancel", () => show(-1));
  plot.addEventListener("blur", () => show(-1));
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") show(-1);
    if (!step || !points.length) return;
    event.preventDefault();
    show((now + step + points.length + (now < 0 && step < 0 ? 1 : 0)) % points.length);
  });
}

document.querySelectorAll("table").forEach(sortable);
document.querySelectorAll(".filter").forEach(filterable);
document.querySelectorAll("svg.plot").forEach(telling);
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
