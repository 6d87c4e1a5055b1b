"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;

  // Light and dark: the system's choice until the reader makes one.
  const stored = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
  if (stored === "light" || stored === "dark") root.dataset.theme = stored;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a file page may have no storage */ }
  });

  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  // What rounds to zero has no sign.
  const fixed = (value, digits) => value.toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1");
  const compare = (a, b) => {
    if (a === b) return 0;
    if (a === null) return 1; // what is absent comes last
    if (b === null) return -1;
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
  };

  // Sorting: numbers start with the largest, texts with the first; absent values stay last.
  const onSort = (table, sort) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      const numeric = sort.isNumeric(column);
      const descending = before ? before === "ascending" : numeric;
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sort.apply(column, descending);
    }));
  };
  const valueOf = (cell) => {
    if (cell.dataset.value === undefined) return cell.textContent;
    const number = Number(cell.dataset.value);
    return Number.isNaN(number) ? null : number;
  };
  const ordered = (rows, key, descending) => [...rows].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    return (descending && x !== null && y !== null ? -1 : 1) * compare(x, y);
  });
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const body = table.tBodies[0];
    onSort(table, {
      isNumeric: (column) => body.rows.length > 0 && body.rows[0].cells[column].dataset.value !== undefined,
      apply: (column, descending) => {
        const rows = [...body.rows];
        const last = rows.filter((row) => row.classList.contains("score"));
        const others = rows.filter((row) => !row.classList.contains("score"));
        body.append(...ordered(others, (row) => valueOf(row.cells[column]), descending), ...last);
      },
    });
  }
  for (const input of document.querySelectorAll("input[data-filter]")) {
    const rows = [...input.closest("figure").querySelector("tbody").rows];
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
    });
  }

  // The picker: means of the chosen cells, every cell with the same weight.
  const picked = document.getElementById("picked");
  if (picked) {
    const selects = ["metric", "dataset", "model"].map((name) => document.getElementById(`pick-${name}`));
    const fill = (select, options) => select.append(...options.map(([value, text]) => element("option", text, { value })));
    const distinct = (column) => [...new Set(data.cells.map((cell) => cell[column]))].sort();
    fill(selects[0], Object.entries(data.metrics));
    fill(selects[1], [["", "all"], ...distinct(0).map((name) => [name, name])]);
    fill(selects[2], [["", "all"], ...distinct(1).map((name) => [name, name])]);
    const show = () => {
      const [metric, dataset, model] = selects.map((select) => select.value);
      const column = 4 + Object.keys(data.metrics).indexOf(metric);
      const losses = new Map();
      for (const cell of data.cells) {
        if ((dataset && cell[0] !== dataset) || (model && cell[1] !== model) || cell[column] === null) continue;
        const entry = losses.get(cell[2]) ?? { sum: 0, variance: 0, known: 0, count: 0 };
        entry.sum += cell[column];
        if (cell[8] !== null) { entry.variance += cell[8] ** 2; entry.known += 1; }
        entry.count += 1;
        losses.set(cell[2], entry);
      }
      const rows = [...losses].map(([loss, e]) => [loss, e.sum / e.count, e.known ? Math.sqrt(e.variance / e.known) : null, e.count]);
      rows.sort((a, b) => b[1] - a[1]);
      const best = rows.length ? rows[0][1] : 0;
      const least = rows.length ? rows[rows.length - 1][1] : 0;
      picked.tBodies[0].replaceChildren(...rows.map(([loss, mean, deviation, count]) => {
        const row = element("tr");
        const number = (value, digits) => element("td", value === null ? "–" : fixed(value, digits), { class: "number", "data-value": value ?? NaN, title: String(value) });
        const meter = element("div", undefined, { class: "meter", title: `${fixed(100 * (mean - best), 3)} points to the best` });
        meter.style.width = `${best > least ? 4 + 96 * (mean - least) / (best - least) : 100}%`;
        const last = element("td");
        last.append(meter);
        row.append(element("td", loss), number(mean, 4), number(100 * (mean - best), 2), number(deviation, 4), number(count, 0), last);
        return row;
      }));
      picked.querySelectorAll("th").forEach((head) => head.removeAttribute("aria-sort"));
    };
    selects.forEach((select) => select.addEventListener("change", show));
    show();
  }

  // All runs, a part at a time: a study has thousands.
  const runs = document.getElementById("runs");
  if (runs) {
    const step = 100;
    const filter = document.getElementById("run-filter");
    const more = document.getElementById("more-runs");
    let rows = data.runs;
    let shown = step;
    const text = new Map(data.runs.map((run) => [run, [run[0], run[1], run[2], run[3], run[4], run[11]].join(" ").toLowerCase()]));
    const show = () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = rows.filter((run) => words.every((word) => text.get(run).includes(word)));
      runs.tBodies[0].replaceChildren(...found.slice(0, shown).map((run) => {
        const row = element("tr");
        row.append(...run.map((value, column) => {
          if (typeof value !== "number") return element("td", value ?? "–");
          const digits = column >= 5 && column <= 8 ? 4 : column === 10 ? 1 : 0;
          return element("td", fixed(value, digits), { class: "number", title: String(value) });
        }));
        return row;
      }));
      document.getElementById("run-count").textContent = `${Math.min(shown, found.length)} of ${found.length} runs`;
      more.hidden = found.length <= shown;
    };
    filter.addEventListener("input", () => { shown = step; show(); });
    more.addEventListener("click", () => { shown += 5 * step; show(); });
    onSort(runs, {
      isNumeric: (column) => data.runs.some((run) => typeof run[column] === "number"),
      apply: (column, descending) => { rows = ordered(data.runs, (run) => run[column], descending); show(); },
    });
    show();
  }

  // Cases: one threshold at a time, large in a dialog.
  const visible = () => [...document.querySelectorAll(".strip button:not([hidden])")];
  for (const radio of document.querySelectorAll("input[name=threshold]")) {
    radio.addEventListener("change", () => {
      for (const button of document.querySelectorAll(".strip button[data-threshold]")) button.hidden = button.dataset.threshold !== radio.value;
    });
  }
  const box = document.getElementById("lightbox");
  let current = null;
  const open = (button) => {
    current = button;
    box.querySelector("img").src = button.querySelector("img").src;
    box.querySelector("img").style.background = getComputedStyle(button.querySelector("img")).background; // under outlines
    box.querySelector("img").alt = button.dataset.caption;
    box.querySelector("p").textContent = button.dataset.caption;
    if (!box.open) box.showModal();
  };
  const go = (distance) => {
    const all = visible();
    open(all[(all.indexOf(current) + distance + all.length) % all.length]);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".strip button");
    if (button) open(button);
    else if (event.target === box) box.close();
  });
  box.querySelectorAll("[data-step]").forEach((button) => button.addEventListener("click", () => go(Number(button.dataset.step))));
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") go(1);
    if (event.key === "ArrowLeft") go(-1);
  });
  box.addEventListener("close", () => current?.focus());

  // The section being read is marked in the navigation.
  const links = new Map([...document.querySelectorAll("nav .links a")].map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) links.get(entry.target.id)?.classList.toggle("here", entry.isIntersecting);
  }, { rootMargin: "-20% 0px -70% 0px" });
  document.querySelectorAll("section[id]").forEach((section) => watch.observe(section));
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
})();
