// Line icons of 24 × 24, drawn in the colour of the text around them.

const drawings = {
  lamp: '<path d="M5 21V9a5 5 0 0 1 5-5h2"/><path d="M12 2.500h4a4 4 0 0 1 4 4v1h-8z"/><path class="glow" d="M12.800 10.200h6.400M13.500 13l-1.200 2.500M16 13.500v3M18.500 13l1.200 2.500"/>',
  group: '<circle cx="6" cy="7" r="2.500"/><circle cx="18" cy="7" r="2.500"/><circle cx="12" cy="17" r="2.500"/><path d="M8.500 7h7M7.300 9.200l3.400 5.600M16.700 9.200l-3.400 5.600"/>',
  temperature: '<path d="M10 13.500V5a2 2 0 1 1 4 0v8.500a4 4 0 1 1-4 0z"/><path d="M12 9v7"/>',
  power: '<path d="M13 2.500 5 13.500h6l-1 8 8-11h-6z"/>',
  energy: '<path d="M4 16a8 8 0 1 1 16 0"/><path d="m12 16 4-5"/><path d="M4 20h16"/>',
  switch: '<path d="M3 12h5l8-5M16 12h5"/><circle cx="8" cy="12" r="1.200"/><circle cx="16" cy="12" r="1.200"/>',
  value: '<path d="M4 18V9M9.300 18V5M14.700 18v-7M20 18v-4"/>',
  setpoint: '<path d="M4 7h9M19 7h1M4 17h1M11 17h9"/><circle cx="16" cy="7" r="2.500"/><circle cx="8" cy="17" r="2.500"/>',
  warning: '<path d="M12 3.500 2.500 20h19z"/><path d="M12 10v4.500M12 17.200v.300"/>',
  device: '<rect x="5" y="3" width="14" height="18" rx="2"/><path d="M8.500 7h7M8.500 10.500h7M9 16.500h.010M12 16.500h.010"/>',
  cloud: '<path d="M7 18.500a4.500 4.500 0 0 1-.500-8.970 6 6 0 0 1 11.600 1.020A4 4 0 0 1 17.500 18.500z"/>',
  exchange: '<path d="M4 8.500h15M15 4.500l4 4-4 4M20 15.500H5M9 11.500l-4 4 4 4"/>',
  minus: '<path d="M5.500 12h13"/>',
  plus: '<path d="M5.500 12h13M12 5.500v13"/>',
  info: '<circle cx="12" cy="12" r="9"/><path d="M12 11v5.500M12 7.500v.300"/>',
  close: '<path d="M6 6l12 12M18 6 6 18"/>',
  leave: '<path d="M14 4h4a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-4M10 8l-4 4 4 4M6 12h9"/>',
};

/** An icon as an element; `name` is one of the drawings above. */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.classList.add('icon');
  svg.innerHTML = drawings[name] ?? drawings.value;
  return svg;
}
