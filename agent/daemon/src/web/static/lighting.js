// Lamps and groups: tiles to switch, and one switch for each group.

import { make, setText } from '/dom.js';
import { icon } from '/icons.js';
import { title } from '/words.js';

/** All lamps and everything in a group; `shown` has the paths that stand here. */
export function lighting(board) {
  const points = [...board.site.points.values()];
  const byName = new Map(points.map((point) => [point.name, point]));
  const shown = new Set();
  const cards = board.site.status.groups.map((group) => {
    const members = group.members.map((name) => byName.get(name)).filter((point) => point && !shown.has(point.path));
    members.forEach((point) => shown.add(point.path));
    return groupCard(board, group, members);
  });
  const single = points.filter((point) => point.point.kind === 'lamp' && !shown.has(point.path));
  single.forEach((point) => shown.add(point.path));
  if (single.length) {
    const heading = make('h3', { class: 'grow' }, cards.length ? 'Other lamps' : 'Lamps');
    cards.push(make('article', { class: 'card group' }, make('header', {}, heading), tiles(board, single)));
  }
  const element = make('div', {}, make('h2', { class: 'rubric' }, 'Lighting'), ...cards);
  return { element, shown };
}

const STATE_WORDS = { on: 'All on', off: 'All off', mixed: 'Some on', unknown: 'Not known yet' };

function groupCard(board, group, members) {
  const words = make('p', { class: 'quiet small', 'data-group-state': group.name });
  const rule = make('p', { class: 'quiet small', 'data-rule': group.name });
  const choose = async (button, on) => {
    button.classList.add('pending');
    await board.command(group.name, on);
    button.classList.remove('pending');
  };
  const button = (on) =>
    make('button', { type: 'button', 'data-group': group.name, 'data-value': String(on), onclick: (event) => choose(event.currentTarget, on) }, on ? 'On' : 'Off');
  const [off, on] = [button(false), button(true)];
  const locked = (name) => board.site.status.problems.some((problem) => problem.about === `lock ${name}`);
  const holder = () => [group.name, 'all'].find(locked);
  const lock = make('button', { class: 'lock small', type: 'button', 'data-lock': group.name, onclick: () => board.lock(holder() ?? group.name, !holder()) });
  board.onStatus((status) => {
    setText(lock, { all: 'Unlock all', [group.name]: 'Unlock' }[holder()] ?? 'Lock');
    lock.setAttribute('aria-pressed', Boolean(holder()));
    const now = status.groups.find((other) => other.name === group.name) ?? group;
    const lit = members.filter((point) => board.site.points.get(point.path).point.on).length;
    const failed = now.failed ? `, ${now.failed} did not follow` : '';
    setText(words, now.state === 'mixed' ? `${lit} of ${members.length} on${failed}` : `${STATE_WORDS[now.state]}${failed}`);
    const own = status.rules.find((other) => other.name === group.name && other.kind !== 'thermostat');
    setText(rule, own ? `By ${own.kind}: ${own.state}` : '');
    rule.hidden = !own;
    on.setAttribute('aria-pressed', now.state === 'on');
    off.setAttribute('aria-pressed', now.state === 'off');
  });
  return make(
    'article',
    { class: 'card group' },
    make('header', {}, icon('group'), make('div', { class: 'grow' }, make('h3', {}, title(group.name)), words, rule), make('div', { class: 'either', role: 'group', 'aria-label': title(group.name) }, off, on), lock),
    tiles(board, members),
  );
}

function tiles(board, points) {
  return make('div', { class: 'tiles' }, ...points.map((point) => tile(board, point)));
}

function tile(board, { path, name, device }) {
  const state = make('span', { class: 'state' });
  const switchIt = async () => {
    const { point } = board.site.points.get(path);
    button.classList.add('pending');
    const done = await board.command(name, !point.on);
    // The value says what became of it; without news the tile stops waiting.
    setTimeout(() => button.classList.remove('pending'), done ? 1500 : 0);
  };
  const button = make(
    'button',
    { class: 'tile', type: 'button', 'data-point': name, onclick: switchIt },
    make('span', { class: 'head' }, make('span', { class: 'number' }, title(name, device)), make('span', { class: 'lamp' })),
    icon('lamp'),
    state,
  );
  board.watch(path, ({ point, quality, value }) => {
    const known = point.on !== null;
    button.classList.toggle('on', point.on === true);
    button.classList.toggle('doubtful', quality !== 'good');
    button.setAttribute('aria-pressed', point.on === true);
    button.classList.remove('pending');
    const dimmed = point.on && typeof value === 'number' && value > 1 && value < 100;
    setText(state, !known ? 'No value' : quality === 'stale' ? `${point.on ? 'On' : 'Off'}, old` : dimmed ? `${value} %` : point.on ? 'On' : 'Off');
  });
  button.addEventListener('contextmenu', (event) => {
    event.preventDefault();
    board.details(path);
  });
  return button;
}
