// Only in the demo: sends commands by the demo's own LwM2M server, and shows what the two said.

import { get, post } from '/api.js';
import { make, setText } from '/dom.js';
import { icon } from '/icons.js';

const LINES = 60;
const PAUSE = 1000;

/** The card with its switch; `write` sends a command while `isOn`. */
export function demoPanel() {
  let on = false;
  let last = 0;
  const log = make('ol', { class: 'log', 'aria-label': 'Protocol' });
  const empty = make('p', { class: 'quiet small' }, 'Switch something: the exchange between server and agent appears here.');
  const client = make('p', { class: 'quiet small' }, 'Commands go straight to the agent.');
  const toggle = make('button', { class: 'toggle', type: 'button', role: 'switch', id: 'through', 'aria-checked': 'false', 'aria-label': 'Through the server', onclick: () => turn(!on) }, make('span', {}));
  const body = make('div', { class: 'exchange', hidden: true }, empty, log);
  const element = make('article', { class: 'card demo' }, make('header', {}, icon('exchange'), make('div', { class: 'grow' }, make('h3', {}, 'Through the server'), client), toggle), body);

  const turn = async (next) => {
    on = next;
    toggle.setAttribute('aria-checked', on);
    body.hidden = !on;
    setText(client, 'Commands go straight to the agent.');
    if (!on) {
      return;
    }
    const clients = await get('demo/clients').catch(() => []);
    const known = clients.map(({ endpoint, version, address }) => `${endpoint} (LwM2M ${version}, ${address})`);
    setText(client, known.length ? `Commands go by LwM2M to ${known.join(', ')}.` : 'Nobody is registered with the demo server.');
    // Only what happens from now on.
    const before = await get('demo/log').catch(() => []);
    last = Math.max(last, before.at(-1)?.number ?? 0);
    poll();
  };

  const poll = async () => {
    if (!on) {
      return;
    }
    await fetchLog();
    setTimeout(poll, PAUSE);
  };

  const fetchLog = async () => {
    const exchanges = await get(`demo/log?after=${last}`).catch(() => []);
    exchanges.forEach(add);
  };

  const add = (exchange) => {
    if (exchange.number <= last) {
      return;
    }
    last = exchange.number;
    empty.hidden = true;
    log.prepend(line(exchange));
    while (log.children.length > LINES) {
      log.lastChild.remove();
    }
  };

  return {
    element,
    isOn: () => on,
    async write(path, value) {
      const exchange = await post('demo/write', { path, value });
      await fetchLog();
      if (!exchange.code.startsWith('2.')) {
        throw new Error(`${exchange.detail || 'refused'} (${exchange.code})`);
      }
    },
  };
}

function line({ from, method, path, code, ms, detail }) {
  const good = code.startsWith('2.');
  return make(
    'li',
    { class: good ? 'good' : 'bad' },
    make('span', { class: 'from' }, from === 'server' ? 'server →' : '← agent'),
    make('strong', {}, method),
    make('span', { class: 'path' }, path),
    make('span', { class: 'detail' }, detail),
    make('span', { class: 'code' }, code || '–'),
    make('span', { class: 'ms' }, `${ms.toFixed(1)} ms`),
  );
}
