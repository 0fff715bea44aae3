// The course of one number as a small chart.

const NAMESPACE = 'http://www.w3.org/2000/svg';
const WIDTH = 300;
const HEIGHT = 80;
const KEPT = 600;
/** Seconds: a chart of two values a second apart says nothing. */
const SHORTEST = 120;

export class Chart {
  /** `values`: age in seconds and number, oldest first. `print` makes words of a number. */
  constructor(values, print) {
    const now = Date.now() / 1000;
    this.values = values.map(([age, number]) => [now - age, number]);
    this.print = print;
    this.line = path('line');
    this.area = path('area');
    this.dot = document.createElement('span');
    this.dot.className = 'dot';
    const plot = document.createElement('div');
    plot.className = 'plot';
    const svg = document.createElementNS(NAMESPACE, 'svg');
    svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute('preserveAspectRatio', 'none');
    svg.append(this.area, this.line);
    this.highest = label('highest');
    this.lowest = label('lowest');
    this.span = label('span');
    this.element = document.createElement('div');
    this.element.className = 'chart';
    this.element.setAttribute('role', 'img');
    plot.append(svg, this.dot);
    this.element.append(plot, this.highest, this.lowest, this.span);
    this.draw();
  }

  add(number) {
    this.values.push([Date.now() / 1000, number]);
    if (this.values.length > KEPT) {
      this.values.shift();
    }
    this.draw();
  }

  draw() {
    this.element.classList.toggle('empty', this.values.length < 2);
    if (this.values.length < 2) {
      return;
    }
    const numbers = this.values.map(([, number]) => number);
    const low = Math.min(...numbers);
    const high = Math.max(...numbers);
    const margin = Math.max((high - low) * 0.15, Math.abs(high) * 0.005, 0.05);
    const end = this.values.at(-1)[0];
    const seconds = Math.max(end - this.values[0][0], SHORTEST);
    const x = (time) => WIDTH * (1 - (end - time) / seconds);
    const y = (number) => HEIGHT * (1 - (number - low + margin) / (high - low + 2 * margin));
    const points = this.values.map(([time, number]) => `${x(time).toFixed(1)} ${y(number).toFixed(1)}`);
    this.line.setAttribute('d', `M${points.join('L')}`);
    const start = x(this.values[0][0]).toFixed(1);
    this.area.setAttribute('d', `M${start} ${HEIGHT}L${points.join('L')}L${WIDTH} ${HEIGHT}Z`);
    this.dot.style.top = `${(100 * y(numbers.at(-1))) / HEIGHT}%`;
    this.highest.textContent = this.print(high);
    this.lowest.textContent = this.print(low);
    this.span.textContent = `${Math.round(seconds / 60)} min`;
    this.element.setAttribute('aria-label', `between ${this.print(low)} and ${this.print(high)}`);
  }
}

function path(name) {
  const element = document.createElementNS(NAMESPACE, 'path');
  element.classList.add(name);
  return element;
}

function label(name) {
  const element = document.createElement('span');
  element.className = name;
  return element;
}
