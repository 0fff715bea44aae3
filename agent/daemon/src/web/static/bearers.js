// The ways to the servers: which work, which is used, and who decides it.

import { post } from '/api.js';
import { make } from '/dom.js';
import { clock, duration } from '/words.js';

/** What stands in a cell that has nothing to say. */
const NOTHING = '–';
/** Nobody who stands at the box means for ever. */
const OFFLINE_S = 2 * 3600;

const REASONS = {
  captive: 'a portal answers',
  'cap-reached': 'cap reached',
  disabled: 'switched off',
  dns: 'name not found',
  dtls: 'no session',
  'no-address': 'no address',
  'no-link': 'no link',
  'no-route': 'no route',
  'not-registered': 'no network',
  refused: 'refused',
  timeout: 'no answer',
  untried: 'not tried',
};

/** The section for a status; empty where no bearer is seen. `age` makes a time that grows. */
export function bearerSection(status, { age, toast }) {
  const { bearers, bearer_choice: choice } = status;
  if (!bearers.length) {
    return [];
  }
  const act = async (call, body) => {
    try {
      const { note } = await post(call, body ?? {});
      if (note) {
        toast(note);
      }
    } catch (error) {
      toast(error.message);
    }
  };
  const button = (words, name, onclick) => make('button', { class: 'ghost', type: 'button', 'data-bearers': name, onclick }, words);
  const offline = choice.mode === 'offline';
  const buttons = choice.configured
    ? [
        choice.mode === 'use' ? button('Choose by itself', 'auto', () => act('bearers/auto')) : null,
        offline ? button('Online', 'online', () => act('online')) : button('Offline for 2 h', 'offline', () => act('offline', { for_s: OFFLINE_S })),
      ]
    : [];
  const head = ['Bearer', 'Status', 'Since', 'Round trip', 'Address', 'Today', 'Month', ''];
  const row = (bearer) => {
    const usable = choice.configured && !bearer.current && bearer.status === 'connected';
    const use = usable ? button('Use', 'use', () => act(`bearers/${encodeURIComponent(bearer.name)}/use`)) : null;
    return bearerRow(bearer, use, age);
  };
  return [
    make('header', { class: 'bearers-head' }, make('h2', { class: 'rubric grow' }, 'Ways to the servers'), ...buttons),
    choiceLine(choice),
    make(
      'div',
      { class: 'card bearers' },
      make('table', {}, make('thead', {}, make('tr', {}, ...head.map((words) => make('th', {}, words)))), make('tbody', {}, ...bearers.map(row))),
    ),
  ].filter(Boolean);
}

function bearerRow(bearer, use, age) {
  const connected = bearer.status === 'connected';
  const untried = bearer.reason === 'untried';
  const state = connected ? 'online' : untried ? '' : 'offline';
  const words = connected ? 'Connected' : untried ? 'Not tried' : `Disconnected: ${REASONS[bearer.reason] ?? bearer.reason}`;
  const signal = bearer.signal_dbm === null ? null : `${bearer.signal_dbm} dBm`.replace('-', '\u2212');
  const about = [bearer.kind, bearer.interface, bearer.operator, signal, bearer.metered ? 'metered' : null,
    bearer.urgent_only ? 'cap reached: only what is urgent' : null].filter(Boolean);
  const counted = bearer.bytes_today || bearer.bytes_month;
  return make(
    'tr',
    { class: `bearer ${state}`, 'data-bearer': bearer.name, 'aria-current': bearer.current ? 'true' : false },
    make('td', {}, make('span', { class: 'lamp' }), ' ', make('strong', {}, bearer.name), bearer.current ? make('span', { class: 'used small' }, 'in use') : null, make('span', { class: 'quiet small block' }, about.join(' · '))),
    make('td', { class: 'state', title: bearer.trouble ?? false }, words),
    make('td', { title: clock(bearer.since) ?? false }, age(bearer.since_s)),
    make('td', { class: 'wide' }, bearer.round_trip_ms === null ? NOTHING : `${Math.round(bearer.round_trip_ms)} ms`),
    make('td', { class: 'wide' }, bearer.address ?? NOTHING),
    make('td', { class: 'wide' }, counted ? bytes(bearer.bytes_today) : NOTHING),
    make('td', { class: 'wide' }, counted ? bytes(bearer.bytes_month) : NOTHING),
    make('td', {}, use),
  );
}

/** Who decides, unless it is the box. */
function choiceLine({ mode, bearer, ends_in_s, trial_left_s }) {
  const trial = trial_left_s === null ? '' : `, on trial for another ${duration(trial_left_s)}`;
  const words = {
    offline: ends_in_s === null ? 'Offline until somebody ends it' : `Offline for another ${duration(ends_in_s)}`,
    prefer: 'A server says which kinds go first',
    use: `${bearer} is used by hand`,
  }[mode];
  return words ? make('p', { class: 'quiet small', 'data-choice': mode }, `${words}${trial}`) : null;
}

function bytes(number) {
  const units = ['B', 'kB', 'MB', 'GB'];
  const step = number < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(number) / 3));
  return `${(number / 1000 ** step).toFixed(step ? 1 : 0)} ${units[step]}`;
}
