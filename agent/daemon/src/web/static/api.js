// Calls to the box. What it refuses comes as a Refusal with its own words.

let csrf = null;

export class Refusal extends Error {
  constructor(words, code) {
    super(code ? `${words} (${code})` : words);
  }
}

export const get = (path) => call('GET', path);
export const put = (path, body) => call('PUT', path, body);
export const post = (path, body) => call('POST', path, body);

/** Learns the token that every change needs. */
export async function begin() {
  ({ csrf } = await get('session'));
}

export async function logout() {
  await fetch('/logout', { method: 'POST', headers: { 'x-csrf-token': csrf } });
  location.replace('/');
}

/**
 * Follows all values. `heard` gets each value, `changed` is called when anything else did,
 * `connected` is told whether the box can be heard.
 */
export function follow({ heard, changed, connected }) {
  const source = new EventSource('/api/v1/watch');
  source.onopen = () => connected(true);
  source.onmessage = (event) => heard(JSON.parse(event.data));
  source.addEventListener('status', changed);
  source.onerror = () => {
    connected(false);
    // The stream does not say why it ended; a call does, and leads back to the login.
    get('session').catch(() => {});
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => follow({ heard, changed, connected }), 3000);
    }
  };
}

async function call(method, path, body) {
  const response = await fetch(`/api/v1/${path}`, {
    method,
    headers: { 'content-type': 'application/json', 'x-csrf-token': csrf ?? '' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (response.status === 401) {
    location.replace('/');
  }
  const answer = await response.json().catch(() => ({ error: `the box answered ${response.status}` }));
  if (!response.ok) {
    throw new Refusal(answer.error, answer.code);
  }
  return answer;
}
