// Requests to the server, with the key of this tab where the server asks for one.

const KEY = "lsr-key";

export class KeyNeeded extends Error {}

export function keepKey(key) {
  sessionStorage.setItem(KEY, key);
}

// Raises what the server says of an error, KeyNeeded where it asks for another key.
async function asked(address, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(address, { ...options, headers });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  const message = problem.detail || `the server answers ${response.status}`;
  if (response.status === 401 || response.status === 403) throw new KeyNeeded(message);
  throw new Error(message);
}

export const get = (address) => asked(address);

export function post(index, action, body, signal) {
  return asked(`v1/indexes/${encodeURIComponent(index)}/${action}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
}
