// One card for each device: its leading number with a chart, what can be set, and the rest.

import { get } from '/api.js';
import { Chart } from '/chart.js';
import { make, setText } from '/dom.js';
import { icon } from '/icons.js';
import { quantity, title } from '/words.js';

/** Rows that a card shows before it folds the rest away. */
const ROWS = 6;
/** Charts are asked for by one call each. */
const MAX_CHARTS = 12;
/** A set point is sent when nobody has pressed for so long (milliseconds). */
const SETTLED = 700;
/** The box is given so long to show the new value. */
const FOLLOWED = 5000;

/** Objects whose value leads a card, the first found wins: temperature, power, pressure, humidity … */
const LEADING = [/^\/3303\//, /^\/3305\/\d+\/5800$/, /^\/3328\//, /^\/3323\//, /^\/3304\//];

export function deviceCards(board, shown) {
  const points = [...board.site.points.values()].filter((point) => !shown.has(point.path));
  const devices = board.site.status.devices.map((device) => [device, points.filter((point) => point.device === device.name)]);
  const cards = devices.filter(([, own]) => own.length).map(([device, own], place) => card(board, device, own, place < MAX_CHARTS));
  return cards.length ? [make('h2', { class: 'rubric' }, 'Devices'), make('div', { class: 'cards' }, ...cards)] : [];
}

function card(board, device, points, charted) {
  const measured = points.filter((point) => isNumber(point) && !point.point.writable);
  const leading = LEADING.map((pattern) => measured.find((point) => pattern.test(point.path))).find(Boolean) ?? measured[0];
  const rest = points.filter((point) => point !== leading);
  const settable = rest.filter((point) => isNumber(point) && point.point.writable && point.point.kind === 'value');
  const rows = [...settable.map((point) => setter(board, point)), ...rest.filter((point) => !settable.includes(point)).map((point) => row(board, point))];
  const folded = rows.splice(settable.length + ROWS);
  const lamp = make('span', { class: 'lamp' });
  const element = make(
    'article',
    { class: 'card device', 'data-device': device.name },
    make('header', {}, icon('device'), make('h3', { class: 'grow' }, device.name, make('span', { class: 'quiet small' }, ` ${device.adapter}`)), lamp),
    leading ? lead(board, leading, charted) : null,
    ...rows,
    folded.length ? make('details', {}, make('summary', {}, `${folded.length} more`), ...folded) : null,
  );
  board.onStatus((status) => {
    const now = status.devices.find((other) => other.name === device.name);
    element.classList.remove('starting', 'online', 'suspect', 'offline');
    element.classList.add(now?.state ?? 'starting');
    lamp.title = now?.detail || now?.state || '';
  });
  return element;
}

function lead(board, { path, name, device, point }, charted) {
  const [shown, unit] = [make('span', { class: 'digits', 'data-value-of': name }), make('span', { class: 'unit' })];
  const figure = make('div', { class: 'figure' }, make('p', { class: 'quiet small' }, icon(iconOf(path)), label(board, path, name, device)), make('p', { class: 'large' }, shown, unit));
  const element = make('div', { class: 'lead' }, figure);
  let chart = null;
  board.watch(path, (now) => {
    show(now, shown, unit, element);
    if (chart && typeof now.value === 'number') {
      chart.add(now.value);
    }
  });
  if (charted) {
    const print = (value) => quantity(value, board.site.points.get(path).unit, point.type)[0];
    get(`trend?path=${encodeURIComponent(path)}`)
      .then(({ values }) => {
        chart = new Chart(values, print);
        element.append(chart.element);
      })
      .catch(() => {});
  }
  return element;
}

/** A number with minus and plus, sent when the finger rests. */
function setter(board, { path, name, device, unit: unitName, point }) {
  const step = stepOf(point, unitName);
  const [shown, unit] = [make('span', { class: 'digits', 'data-value-of': name }), make('span', { class: 'unit' })];
  let wanted = null;
  let timer = null;
  const element = make(
    'div',
    { class: 'row setter' },
    make('span', { class: 'grow' }, label(board, path, name, device), limits(point, unitName)),
    key('minus', `${title(name, device)} lower`, () => press(-step)),
    make('span', { class: 'set' }, shown, unit),
    key('plus', `${title(name, device)} higher`, () => press(step)),
  );
  const press = (by) => {
    const from = wanted ?? board.site.points.get(path).value ?? point.min ?? 0;
    wanted = Math.min(point.max ?? Infinity, Math.max(point.min ?? -Infinity, Math.round((from + by) / step) * step));
    wanted = Number(wanted.toFixed(6));
    element.classList.add('pending');
    setText(shown, quantity(wanted, unitName, point.type)[0]);
    clearTimeout(timer);
    timer = setTimeout(send, SETTLED);
  };
  const send = async () => {
    const sent = wanted;
    const done = await board.command(name, sent);
    timer = setTimeout(() => sent === wanted && settle(), done ? FOLLOWED : 0);
  };
  const settle = () => {
    clearTimeout(timer);
    wanted = null;
    element.classList.remove('pending');
    show(board.site.points.get(path), shown, unit, element);
  };
  board.watch(path, (now) => {
    if (wanted === null) {
      show(now, shown, unit, element);
    } else if (now.value === wanted) {
      settle();
    }
  });
  return element;
}

function row(board, { path, name, device, point }) {
  const isSwitch = point.writable && (point.type === 'boolean' || point.kind !== 'value');
  return isSwitch ? switchRow(board, path, name, device) : valueRow(board, path, name, device);
}

function switchRow(board, path, name, device) {
  const flip = async () => {
    button.classList.add('pending');
    await board.command(name, !board.site.points.get(path).point.on);
    setTimeout(() => button.classList.remove('pending'), 1500);
  };
  const button = make('button', { class: 'toggle', type: 'button', role: 'switch', 'data-point': name, 'aria-label': title(name, device), onclick: flip }, make('span', {}));
  const words = make('span', { class: 'state small' });
  const element = make('div', { class: 'row' }, make('span', { class: 'grow' }, label(board, path, name, device)), words, button);
  board.watch(path, ({ point, quality }) => {
    button.setAttribute('aria-checked', point.on === true);
    button.classList.remove('pending');
    element.classList.toggle('doubtful', quality !== 'good');
    setText(words, point.on === null ? 'No value' : point.on ? 'On' : 'Off');
  });
  return element;
}

function valueRow(board, path, name, device) {
  const [shown, unit] = [make('span', { class: 'digits', 'data-value-of': name }), make('span', { class: 'unit' })];
  const element = make('div', { class: 'row' }, make('span', { class: 'grow' }, icon(iconOf(path)), label(board, path, name, device)), make('span', { class: 'reading' }, shown, unit));
  board.watch(path, (now) => show(now, shown, unit, element));
  return element;
}

function show(now, shown, unit, element) {
  const [digits, unitText] = quantity(now.value, now.unit, now.point.type);
  setText(shown, digits);
  setText(unit, unitText);
  element.classList.toggle('doubtful', now.quality !== 'good');
  element.title = now.quality === null ? 'Never read' : now.quality === 'good' ? '' : `The value is ${now.quality}`;
}

function label(board, path, name, device) {
  return make('button', { class: 'label', type: 'button', onclick: () => board.details(path) }, title(name, device));
}

function key(drawing, words, onclick) {
  return make('button', { class: 'key', type: 'button', 'aria-label': words, onclick }, icon(drawing));
}

function limits({ min, max }, unit) {
  if (min === null || max === null) {
    return null;
  }
  return make('span', { class: 'quiet small block' }, `${min} to ${max} ${quantity(0, unit)[1]}`);
}

function stepOf({ min, max, type }, unit) {
  if (type !== 'float') {
    return 1;
  }
  const range = max - min;
  return unit === 'Cel' || !Number.isFinite(range) || min === null || max === null ? 0.5 : Math.max(10 ** Math.floor(Math.log10(range / 20)), 0.1);
}

function isNumber({ point }) {
  return ['float', 'integer', 'unsigned'].includes(point.type) && point.kind === 'value';
}

function iconOf(path) {
  const object = Number(path.split('/')[1]);
  const drawings = { 3303: 'temperature', 3305: 'power', 3306: 'switch', 3308: 'setpoint', 3328: 'power', 3331: 'energy', 3342: 'switch' };
  return drawings[object] ?? 'value';
}
