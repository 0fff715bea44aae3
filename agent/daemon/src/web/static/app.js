// Builds the page from what the box says of itself, and keeps it up to date.

import { begin, follow, get, logout, post, put } from '/api.js';
import { make, setText } from '/dom.js';
import { icon } from '/icons.js';
import { clock, duration, title } from '/words.js';
import { bearerSection } from '/bearers.js';
import { demoPanel } from '/demo.js';
import { deviceCards } from '/device.js';
import { lighting } from '/lighting.js';

const byId = (id) => document.getElementById(id);

/** What is known; `points` by path, in the order of the box. */
const site = { status: null, points: new Map() };
/** Called with the point whenever it changes, by path. */
const listeners = new Map();
/** Called whenever the status changes. */
const statusListeners = [];
let demo = null;
let asked = null;

const board = {
  site,
  /** Calls `show` now and on every change of this point. */
  watch(path, show) {
    listeners.set(path, [...(listeners.get(path) ?? []), show]);
    show(site.points.get(path));
  },
  onStatus(show) {
    statusListeners.push(show);
    show(site.status);
  },
  /** Commands a point or group by its name; the outcome is seen in its value. */
  async command(name, value) {
    try {
      await (demo?.isOn() ? demo.write(name, value) : put(`objects/${encodeURIComponent(name)}`, { value }));
      return true;
    } catch (error) {
      toast(error.message);
      return false;
    }
  },
  /** Locks a group for maintenance, or takes a lock away. */
  async lock(name, on) {
    try {
      await post(on ? 'lock' : 'unlock', { name });
    } catch (error) {
      toast(error.message);
    }
  },
  details,
  toast,
};

start();

async function start() {
  byId('leave').append(icon('leave'));
  byId('leave').addEventListener('click', logout);
  try {
    await begin();
    const [status, points] = await Promise.all([get('status'), get('points')]);
    site.status = status;
    points.forEach((point) => site.points.set(point.path, point));
  } catch (error) {
    byId('lost').hidden = false;
    setTimeout(start, 3000);
    return;
  }
  build();
  follow({ heard, changed: refreshSoon, connected });
  setInterval(tick, 1000);
  setInterval(refresh, 15000);
}

function build() {
  if (site.status.demo) {
    demo = demoPanel();
    byId('demo').replaceChildren(demo.element);
    byId('demo').hidden = false;
  }
  const { element, shown } = lighting(board);
  byId('lighting').hidden = shown.size === 0;
  byId('lighting').replaceChildren(element);
  byId('devices').replaceChildren(...deviceCards(board, shown));
  board.onStatus(showStatus);
}

function heard(value) {
  if (!site.points.has(value.path)) {
    return;
  }
  value.seen = Date.now();
  site.points.set(value.path, value);
  listeners.get(value.path)?.forEach((show) => show(value));
  // The state of a group follows its members.
  if (value.point?.kind !== 'value') {
    refreshSoon();
  }
}

function refreshSoon() {
  asked ??= setTimeout(refresh, 150);
}

async function refresh() {
  clearTimeout(asked);
  asked = null;
  try {
    site.status = await get('status');
    site.status.seen = Date.now();
    statusListeners.forEach((show) => show(site.status));
  } catch {
    // The stream says whether the box can be heard.
  }
}

function connected(is) {
  byId('lost').hidden = is;
  document.body.classList.toggle('unheard', !is);
  if (is) {
    refreshSoon();
  }
}

/** Ages grow without news. */
function tick() {
  document.querySelectorAll('[data-since]').forEach((element) => {
    setText(element, duration(Date.now() / 1000 - Number(element.dataset.since)));
  });
}

function showStatus(status) {
  document.title = `${status.endpoint} · Lamplighter`;
  setText(byId('endpoint'), status.endpoint);
  setText(byId('about'), status.demo ? 'Simulated street cabinet' : 'Street cabinet');
  byId('servers').replaceChildren(...status.servers.map(serverCard));
  byId('bearers').replaceChildren(...bearerSection(status, { age, toast }));
  byId('problems').hidden = status.problems.length === 0;
  byId('problems').replaceChildren(...status.problems.map(problemLine));
  byId('links').replaceChildren(linkTable(status.devices));
  const time = clock(status.time);
  const foot = [`Lamplighter ${status.version}`, `up ${duration(status.uptime_s)}`, time ? `box time ${time}` : 'date unknown'];
  setText(byId('foot'), foot.join('  ·  '));
}

const SERVER_WORDS = {
  registered: 'Registered',
  registering: 'Registering',
  offline: 'Not registered',
  disabled: 'De-registered',
};

function serverCard(server) {
  const act = async (action) => {
    try {
      await post(`servers/${encodeURIComponent(server.name)}/${action}`);
    } catch (error) {
      toast(error.message);
    }
  };
  const action = server.state === 'registered' ? 'refresh' : 'register';
  const version = server.version ? `LwM2M ${server.version}` : null;
  return make(
    'article',
    { class: `server ${server.state}`, 'data-server': server.name },
    make('span', { class: 'lamp' }),
    make(
      'div',
      { class: 'grow' },
      make('h2', {}, SERVER_WORDS[server.state], make('span', { class: 'quiet' }, ` ${server.state === 'registered' ? 'with' : 'at'} ${server.name}`)),
      make('p', { class: 'quiet small' }, [version, server.uri].filter(Boolean).join('  ·  ')),
    ),
    make('p', { class: 'age small' }, age(server.since_s), clock(server.since) ? make('span', { class: 'quiet' }, `since ${clock(server.since)}`) : null),
    make('button', { class: 'ghost', type: 'button', onclick: () => act(action) }, action === 'refresh' ? 'Update' : 'Register'),
  );
}

function problemLine(problem) {
  return make(
    'p',
    { class: 'problem' },
    icon('warning'),
    make('span', { class: 'grow' }, make('strong', {}, `${title(problem.about)}: `), problem.text),
    age(problem.since_s),
  );
}

const LINK_WORDS = { starting: 'Starting', online: 'Online', suspect: 'Missed an answer', offline: 'Offline' };

function linkTable(devices) {
  const rows = devices.map((device) =>
    make(
      'li',
      { class: `link ${device.state}` },
      make('span', { class: 'lamp' }),
      make('span', { class: 'grow' }, make('strong', {}, device.name), make('span', { class: 'quiet small' }, ` ${device.adapter}`)),
      make('span', { class: 'quiet small count' }, device.points ? `${device.points_good} of ${device.points} good` : ''),
      make('span', { class: 'state small' }, LINK_WORDS[device.state], ' ', age(device.since_s)),
    ),
  );
  return make('div', {}, make('h2', { class: 'rubric' }, 'Links'), make('ul', { class: 'card links' }, ...rows));
}

function age(seconds) {
  const since = Date.now() / 1000 - seconds;
  return make('time', { 'data-since': since }, duration(seconds));
}

function toast(words) {
  const line = make('p', { class: 'toast' }, icon('warning'), make('span', {}, words.charAt(0).toUpperCase() + words.slice(1)));
  byId('toasts').append(line);
  setTimeout(() => line.remove(), 7000);
}

/** What there is to know of one point, and who commands it. */
async function details(path) {
  const dialog = byId('details');
  const point = site.points.get(path);
  const close = make('button', { class: 'ghost', type: 'button', 'aria-label': 'Close', onclick: () => dialog.close() }, icon('close'));
  const facts = [
    ['Path', point.path],
    ['Object', [point.object, point.resource].filter(Boolean).join(' / ')],
    ['Device', point.device],
    ['Value', point.value === null ? 'never read' : `${point.value} ${point.unit ?? ''}`],
    ['Quality', point.quality ?? '–'],
    ['Measured', point.time ? new Date(point.time).toLocaleString() : '–'],
  ];
  const list = make('dl', {}, ...facts.flatMap(([name, text]) => [make('dt', {}, name), make('dd', {}, text ?? '–')]));
  const why = make('div', { class: 'why' });
  dialog.replaceChildren(make('header', {}, make('h2', {}, point.name), close), list, why);
  dialog.showModal();
  if (point.point?.kind === 'value') {
    return;
  }
  const answer = await get(`why?name=${encodeURIComponent(point.name)}`).catch(() => null);
  const slots = answer?.slots ?? [];
  why.replaceChildren(
    make('h3', {}, slots.length ? 'Commanded by, the first wins' : 'Nobody commands it'),
    make('ol', {}, ...slots.map((slot) => make('li', {}, make('strong', {}, slot.slot.replace(/([a-z])([A-Z])/g, '$1 $2')), ` ${slot.value} · ${slot.by} · ${duration(slot.since_s)}`))),
    make('p', { class: 'quiet small' }, answer?.result ?? ''),
  );
}
