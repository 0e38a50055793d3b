// One index with one setting: what is asked of it, its facets, its hits, and why a document is not among them.
import { element, hitItem, reasonShown } from "./shown.js";
import { post } from "./server.js";

const SNIPPET = 300; // characters
const RECALL = 0.95; // where the dial stands at first, if the index is tuned for so much

const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

function literal(value, type) {
  if (typeof value !== "string") return String(value);
  const text = `'${value.replaceAll("'", "''")}'`;
  return /string|utf8/.test(type) ? text : `CAST(${text} AS ${/^time/.test(type) ? "TIMESTAMP" : "DATE"})`;
}

function condition(column, type, value) {
  const list = /^(large_)?list<[^:]*: *(.*)>$/.exec(type);
  if (list) return `list_contains(${quoted(column)}, ${literal(value, list[2])})`;
  return `${quoted(column)} = ${literal(value, type)}`;
}

export class Panel {
  // changed: called when a setting has changed. failed: called with what a request raised.
  constructor(number, indexes, changed, failed) {
    this.root = document.getElementById("panel").content.cloneNode(true).firstElementChild;
    Object.assign(this, { number, indexes, changed, failed });
    this.settings = this.find(".settings").elements;
    this.query = "";
    this.chosen = new Map(); // column -> Map of values as JSON -> conditions
    this.find("h2").textContent = `Setting ${number + 1}`;
    this.root.setAttribute("aria-label", `Setting ${number + 1}`);
    this.settings.index.append(...indexes.map((index) => element("option", {}, index.name)));
    this.settings.index.selectedIndex = Math.min(number, indexes.length - 1);
    this.find(".settings").addEventListener("submit", (event) => event.preventDefault());
    this.settings.index.addEventListener("change", () => this.choose());
    this.settings.k.addEventListener("change", changed);
    this.settings.where.addEventListener("input", changed);
    this.settings.dial.addEventListener("input", () => this.turn());
    this.find(".why form").addEventListener("submit", (event) => this.tellWhy(event));
    this.choose();
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  // Another index: its steps between speed and recall, and its columns.
  choose() {
    this.index = this.indexes[this.settings.index.selectedIndex];
    const presets = this.index.presets.map((preset) => preset.recall).sort((a, b) => a - b);
    const tuned = presets.map((recall) => ({ words: `recall ${recall}`, params: { recall } }));
    this.steps = [...(tuned.length ? tuned : [{ words: "default", params: {} }]), { words: "exact", params: { exact: true } }];
    const first = presets.findIndex((recall) => recall >= RECALL);
    this.settings.dial.max = this.steps.length - 1;
    this.settings.dial.value = first < 0 ? Math.max(0, tuned.length - 1) : first;
    const columns = Object.keys(this.index.columns);
    this.find(".where").hidden = !columns.length;
    this.settings.where.placeholder = columns.length ? `a condition on ${columns.slice(0, 3).join(", ")}` : "";
    this.settings.where.value = "";
    this.chosen.clear();
    this.makeFacets(columns);
    this.turn();
  }

  turn() {
    const { words } = this.steps[this.settings.dial.value];
    this.find("output").textContent = words;
    this.settings.dial.setAttribute("aria-valuetext", words);
    this.changed();
  }

  makeFacets(columns) {
    const facets = columns.map((name) => {
      const facet = element("details", {}, element("summary", {}, name), element("ul"));
      facet.dataset.column = name;
      facet.addEventListener("toggle", () => facet.open && this.changed());
      return facet;
    });
    this.find(".facets").setAttribute("aria-label", "Facets");
    this.find(".facets").hidden = !facets.length;
    this.find(".facets").replaceChildren(...facets);
  }

  asked() {
    const conditions = [...this.chosen.values()]
      .filter((values) => values.size)
      .map((values) => `(${[...values.values()].join(" OR ")})`);
    const typed = this.settings.where.value.trim();
    if (typed) conditions.unshift(conditions.length ? `(${typed})` : typed);
    const where = conditions.length ? { where: conditions.join(" AND ") } : {};
    return { query: this.query, k: Number(this.settings.k.value), ...this.steps[this.settings.dial.value].params, ...where };
  }

  // Answers the newest query: what is under way for an older one is given up.
  async search(query) {
    this.abort?.abort();
    this.query = query;
    this.find(".problem").textContent = "";
    if (!query) {
      this.show([], "");
      return;
    }
    const { signal } = (this.abort = new AbortController());
    const facets = [...this.root.querySelectorAll(".facets details[open]")].map((facet) => facet.dataset.column);
    const begun = performance.now();
    try {
      const body = { ...this.asked(), snippet: SNIPPET, explain: true, facets };
      const answer = await post(this.index.name, "search", body, signal);
      const took = `${(1000 * answer.seconds).toFixed(1)} ms, ${(performance.now() - begun).toFixed(0)} ms with the way here`;
      const late = answer.complete === false ? "; the deadline came before the end" : "";
      this.show(answer.hits, `${answer.found} ${answer.found === 1 ? "hit" : "hits"} in ${took}${late}`);
      for (const [column, values] of Object.entries(answer.facets ?? {})) this.showFacet(column, values ?? []);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.show([], "");
      this.find(".problem").textContent = error.message;
      this.failed(error);
    }
  }

  show(hits, status) {
    this.find(".hits").replaceChildren(...hits.map((hit) => hitItem(hit, this.number)));
    this.find(".status").textContent = status;
  }

  showFacet(column, values) {
    const facet = [...this.root.querySelectorAll(".facets details")].find((each) => each.dataset.column === column);
    const chosen = this.chosen.get(column) ?? new Map();
    this.chosen.set(column, chosen);
    const focused = facet.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    const items = values.map(({ value, hits, documents }) => {
      const key = JSON.stringify(value);
      const box = element("input", { type: "checkbox", "data-key": key });
      box.checked = chosen.has(key);
      box.addEventListener("change", () => {
        if (box.checked) chosen.set(key, condition(column, this.index.columns[column], value));
        else chosen.delete(key);
        this.changed();
      });
      return element("li", {}, element("label", {}, box, ` ${value} (${hits} of ${documents})`));
    });
    facet.querySelector("ul").replaceChildren(...items);
    if (focused !== undefined) [...facet.querySelectorAll("input")].find((box) => box.dataset.key === focused)?.focus();
  }

  async tellWhy(event) {
    event.preventDefault();
    const answer = this.find(".answer");
    if (!this.query) {
      answer.replaceChildren(element("p", {}, "Type a query first."));
      return;
    }
    try {
      const body = { ...this.asked(), id: event.target.elements.id.value.trim() };
      answer.replaceChildren(...reasonShown(await post(this.index.name, "why", body)));
    } catch (error) {
      answer.replaceChildren(element("p", { class: "problem" }, error.message));
      this.failed(error);
    }
  }
}
