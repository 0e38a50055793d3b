// Hits, terms and reasons as elements.

const TERMS = 6; // shown of a hit that is not open
const HEADING = 90; // characters

export function element(name, attributes = {}, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...content.filter((each) => each !== null));
  return made;
}

const figure = (number) => number.toPrecision(4);

// Characters of Python are code points.
function highlighted(snippet) {
  const points = Array.from(snippet.text);
  const part = (begin, end) => points.slice(begin, end).join("");
  const pieces = [];
  let at = 0;
  for (const [begin, end] of snippet.highlights) {
    pieces.push(part(at, begin), element("mark", {}, part(begin, end)));
    at = end;
  }
  return element("p", { class: "passage" }, ...pieces, part(at));
}

function heading(hit) {
  const title = hit.metadata?.title || hit.text?.trim().split("\n")[0] || hit.doc_id;
  const points = Array.from(String(title));
  return points.length > HEADING ? `${points.slice(0, HEADING).join("").trimEnd()}…` : title;
}

// What a term is besides a word that query and document have: its mark, its style, and words for it.
function named(term, lacking) {
  if (!lacking) return element("span", { class: "term literal" }, term);
  return element("span", { class: "term expanded" }, `+ ${term}`);
}

function termItem(term, weight, most, lacking) {
  const bar = element("span", { class: lacking ? "bar expanded" : "bar", "aria-hidden": "true" });
  bar.style.width = `${(100 * Math.max(0, weight)) / most}%`;
  const kind = lacking ? `not in ${lacking.map((side) => (side === "document" ? "text" : side)).join(", ")}` : "literal";
  return element("li", {}, named(term, lacking), bar, element("span", { class: "figure" }, `${figure(weight)} ${kind}`));
}

function termList(terms, expanded) {
  const most = Math.max(...terms.map(([, weight]) => weight), Number.MIN_VALUE);
  const items = terms.map(([term, weight]) => termItem(term, weight, most, expanded[term]));
  return element("ul", { class: "terms", "aria-label": "Contribution of each term to the score" }, ...items);
}

// A hit: a button that opens the whole text and all terms.
export function hitItem(hit, number) {
  const id = `open-${number}-${hit.rank}`;
  const button = element("button", { type: "button", class: "hit", "aria-expanded": "false", "aria-controls": id }, heading(hit));
  const terms = Object.entries(hit.terms);
  const expanded = hit.expanded ?? {};
  const list = element("div", {}, termList(terms.slice(0, TERMS), expanded));
  const open = element("div", { id, hidden: "" });
  button.addEventListener("click", () => {
    open.hidden = !open.hidden;
    button.setAttribute("aria-expanded", String(!open.hidden));
    list.replaceChildren(termList(open.hidden ? terms.slice(0, TERMS) : terms, expanded));
    if (open.hidden || open.childElementCount) return;
    if (hit.text !== null) open.append(element("p", { class: "text" }, hit.text));
    for (const [name, value] of Object.entries(hit.metadata ?? {}))
      open.append(element("p", { class: "quiet" }, `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`));
  });
  const facts = element("p", { class: "quiet" }, `${hit.rank}. ${hit.doc_id} · score ${figure(hit.score)}`);
  const passage = hit.snippet ? highlighted(hit.snippet) : null;
  return element("li", {}, element("h3", {}, button), facts, passage, list, open);
}

// What would return a document: the settings that differ from those of the search.
function remedyOf(told) {
  if (!told.remedy) return "No settings return this document.";
  const changed = Object.entries(told.remedy.params).filter(([name, value]) => value !== told.params[name]);
  const words = told.remedy.k === told.k ? [] : [`k = ${told.remedy.k}`];
  words.push(...changed.map(([name, value]) => `${name} = ${value}`));
  return `With ${words.join(", ")} it is returned, at rank ${told.remedy.rank}.`;
}

export function reasonShown(told) {
  const returned = told.rank !== null;
  const verdict = returned ? `It is returned, at rank ${told.rank}.` : `It is not returned: ${told.reason}.`;
  const lowest = told.threshold === null ? "" : ` The last of ${told.k} hits has ${figure(told.threshold)}.`;
  const exact = told.exact_rank === null ? "" : ` An exact search has it at rank ${told.exact_rank}.`;
  const shared = told.terms.filter((term) => term.contribution).map((term) => [term.token, term.contribution]);
  const missing = told.terms.filter((term) => !term.contribution).map((term) => term.token);
  return [
    element("p", {}, element("strong", {}, verdict)),
    element("p", {}, `Its score is ${figure(told.score)}.${lowest}${exact}`),
    returned ? null : element("p", {}, remedyOf(told)),
    shared.length ? element("p", {}, `Of the query it has: ${shared.map(([t, w]) => `${t} (${figure(w)})`).join(", ")}.`) : null,
    missing.length ? element("p", {}, `It lacks: ${missing.join(", ")}.`) : null,
  ].filter((each) => each !== null);
}
