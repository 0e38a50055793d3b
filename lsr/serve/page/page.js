// What people type, and the panels that answer it. All that comes from the server is shown as text, never as HTML.
import { KeyNeeded, get, keepKey } from "./server.js";
import { Panel } from "./panel.js";

const WAIT = 120; // milliseconds after the last key before a search

const byId = (id) => document.getElementById(id);
const query = byId("query");
const compare = byId("compare");
const panels = [];
let indexes = [];
let timer;

function later() {
  clearTimeout(timer);
  timer = setTimeout(() => panels.forEach((panel) => panel.search(query.value.trim())), WAIT);
}

function failed(error) {
  if (error instanceof KeyNeeded) {
    byId("key").hidden = false;
    byId("key-problem").textContent = error.message;
    byId("key-value").focus();
  }
}

function arrange() {
  while (panels.length > (compare.checked ? 2 : 1)) panels.pop().root.remove();
  while (panels.length < (compare.checked ? 2 : 1)) {
    const panel = new Panel(panels.length, indexes, later, failed);
    panels.push(panel);
    byId("panels").append(panel.root);
  }
  byId("panels").classList.toggle("two", compare.checked);
  panels[0].root.querySelector("h2").classList.toggle("unseen", !compare.checked);
  later();
}

async function begin() {
  try {
    indexes = await get("v1/indexes");
  } catch (error) {
    failed(error);
    if (!(error instanceof KeyNeeded)) byId("panels").textContent = error.message;
    return;
  }
  byId("key").hidden = true;
  byId("panels").replaceChildren();
  panels.length = 0;
  arrange();
  query.focus();
}

// Moves the focus among hits; before the first is the search box.
function move(event) {
  const hits = [...document.querySelectorAll(".hit")];
  const at = hits.indexOf(document.activeElement);
  if (at < 0 && document.activeElement !== query) return;
  const to = at + (event.key === "ArrowDown" ? 1 : -1);
  if (to >= hits.length || (at < 0 && to < 0)) return;
  event.preventDefault();
  (to < 0 ? query : hits[to]).focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = document.activeElement.matches("input:not([type=checkbox], [type=range]), select");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    query.focus();
    query.select();
  } else if (event.key === "Escape") {
    if (document.activeElement === query) {
      query.value = "";
      later();
    } else query.focus();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") move(event);
});

query.addEventListener("input", later);
compare.addEventListener("change", arrange);
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  later();
});
byId("key").addEventListener("submit", (event) => {
  event.preventDefault();
  keepKey(byId("key-value").value);
  byId("key-value").value = "";
  begin();
});

begin();
