// How names, numbers and times read.

const UNITS = { Cel: '°C', '/100': '%', '%RH': '%', '%EL': '%', Ohm: 'Ω', VAr: 'var', degC: '°C' };
const SCALED = { W: 'kW', Wh: 'kWh', VA: 'kVA', var: 'kvar' };

/** `ahu1.supply_air` of device `ahu1` reads "Supply air". */
export function title(name, device) {
  const own = device && name.startsWith(`${device}.`) ? name.slice(device.length + 1) : name;
  const words = own.replaceAll('_', ' ').replaceAll('.', ' · ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** A number and its unit as two texts; `type` is the resource's. */
export function quantity(value, unit, type) {
  if (value === null || value === undefined) {
    return ['–', ''];
  }
  if (typeof value === 'boolean') {
    return [value ? 'On' : 'Off', ''];
  }
  if (typeof value !== 'number') {
    return [String(value), ''];
  }
  const shown = UNITS[unit] ?? unit ?? '';
  const larger = SCALED[shown];
  if (larger && Math.abs(value) >= 10000) {
    return [number(value / 1000, larger === 'kWh' ? 2 : 1), larger];
  }
  return [number(value, type === 'float' ? placesOf(Math.abs(value)) : 0), shown];
}

/** Enough digits to see it move. */
function placesOf(size) {
  return size >= 1000 ? 0 : size < 1 && size > 0 ? 2 : 1;
}

function number(value, places) {
  const [whole, fraction] = value.toFixed(places).split('.');
  const spaced = whole.replace(/\B(?=(\d{3})+$)/g, '\u202f');
  return (fraction ? `${spaced}.${fraction}` : spaced).replace('-', '\u2212');
}

/** Seconds as the two words that matter. */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) {
    return `${s} s`;
  }
  if (s < 3600) {
    return `${Math.floor(s / 60)} min`;
  }
  if (s < 86400) {
    return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  }
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** Time of day of an RFC 3339 date, in the browser's zone. */
export function clock(text) {
  return text ? new Date(text).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }) : null;
}
