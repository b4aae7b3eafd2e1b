// Visual and text tokens of the language model's input space in one plot. Plotly draws the axes and
// reads zoom, lasso and clicks; the points are drawn on a canvas over it, because a whole redraw
// takes 2 ms there and fifty in Plotly. They are there before Plotly is, which takes a browser a
// second to read: until then they are hovered and clicked on the canvas itself.
import { patchesOf, rectanglesOf } from '../core/board';
import { MARKS, textColour } from '../core/colour';
import { boardImage } from '../core/cuts';
import { find, heading, penOf } from '../core/dom';
import { stageView, type Panel } from '../core/panel';
import type { Plane, RunRecord } from '../core/payloads';
import { saveButton, saveLayers } from '../core/pictures';
import { pick, point, steer } from '../core/selection';
import type { State } from '../core/state';
import { set, state } from '../core/store';
import { readPlotly, type AxisLayout, type Plotly, type PlotElement } from './plotly';
import {
  drawDiamond,
  drawDot,
  drawRing,
  NAMES,
  nearestPoint,
  rangeAlong,
  turned,
  withFirstPatch,
  type Places,
} from './points';
import { colourKey, tokenColours } from './space-colours';

const MARGIN = { l: 44, r: 8, t: 4, b: 36 };
const ROOM = 0.07; // of the points' range, free on each side
const CLOSE = 64; // points in sight up to which each is drawn as its patch
const RINGED = 120; // tokens from which on none is ringed
const WORDS =
  'Visual and text tokens lie in one space, the language model’s own. Look for how far apart the' +
  ' two kinds are, and which patches lie together. Drag zooms, the lasso selects.';
const NEAR = {
  umap: 'UMAP keeps neighbours together; distances between groups mean little',
  tsne: 't-SNE keeps neighbours together; distances and sizes of groups mean little',
};

/** The axes in pixels, and where a coordinate is on each. */
interface Frame {
  l: number;
  t: number;
  w: number;
  h: number;
  x: (value: number) => number;
  y: (value: number) => number;
}
/** What is drawn: a run and its points. */
interface Shown {
  record: RunRecord;
  plane: Plane;
}

const isFlat = (plane: Plane): boolean => plane.points.shape[1] === 2;

function shownNow(): Shown | null {
  const { record, plane } = state;
  return record && plane ? { record, plane } : null;
}

function axisShare(plane: Plane, i: number): string {
  const { explained } = plane;
  return explained.length ? ` (${(100 * explained[i]).toFixed(1)} % of the variance)` : '';
}

function captionOf(plane: Plane): string {
  const dots = 'Dots are visual tokens, blue diamonds the prompt’s text tokens.';
  if (plane.method !== 'pca') return `${NEAR[plane.method]} (${plane.settings}). ${dots}`;
  if (isFlat(plane)) return dots;
  const shares = plane.explained.map((share) => `${(100 * share).toFixed(1)} %`).join(', ');
  return `PCA in space, the three directions carry ${shares}; drag to turn, wheel to zoom. ` + dots;
}

class SpaceView {
  private readonly plot: PlotElement;
  private readonly dots: HTMLCanvasElement;
  private readonly pen: CanvasRenderingContext2D;
  private readonly colour: HTMLSelectElement;
  private readonly thumbnails: HTMLInputElement;
  private plotly: Plotly | null = null;
  private coming: Promise<void> | null = null;
  private listening = false;
  private places: Places | null = null;
  private fill: string[] = [];
  private picture: HTMLImageElement | null = null;
  private turn = { a: 0.6, b: 0.4, zoom: 1 };
  private drag: { x: number; y: number; a: number; b: number; moved: boolean } | null = null;

  constructor(
    private readonly element: HTMLElement,
    private readonly address: string,
  ) {
    this.plot = find<PlotElement>(element, '.plot');
    this.dots = find(element, '.dots');
    this.pen = penOf(this.dots);
    this.colour = find(element, '.colour');
    this.thumbnails = find(element, '.thumbnails');
    const save = saveButton('Save the plot as a picture: PNG', () => void this.save(), '⤓ PNG');
    find(element, '.saving').append(save);
    this.listenToCanvas();
    this.listenToPage();
    const seen = ['record', 'plane', 'words', 'selected', 'hovered', 'text'];
    stageView(element, 'space', seen, (now, changed) => this.draw(now, changed));
  }

  // --- Plotly, and what it draws ---

  /** Read Plotly, once; the plot is then drawn again, with axes. */
  private readPlotly(): Promise<void> {
    this.coming ??= readPlotly(this.address).then(
      (plotly) => {
        this.plotly = plotly;
        const shown = shownNow();
        if (shown && state.open.includes('space')) this.rebuild(shown);
      },
      () => {}, // without Plotly there are no axes
    );
    return this.coming;
  }

  private axes(plane: Plane): object {
    const ink = textColour(this.element);
    const axis = (i: number) => ({
      title: {
        text: `${NAMES[plane.method]} ${i + 1}${axisShare(plane, i)}`,
        font: { size: 11 },
      },
      zeroline: false,
      gridcolor: 'rgba(128,128,128,.2)',
      color: ink,
      tickfont: { size: 10 },
    });
    return {
      margin: MARGIN,
      hovermode: 'closest',
      paper_bgcolor: 'rgba(0,0,0,0)',
      plot_bgcolor: 'rgba(0,0,0,0)',
      font: { color: ink },
      showlegend: false,
      dragmode: 'zoom',
      xaxis: axis(0),
      yaxis: axis(1),
      uirevision: plane.method + plane.settings,
    };
  }

  /** Invisible, but there to be met by the pointer and the lasso. */
  private trace({ points }: Plane, from: number, to: number): object {
    const size = points.shape[1];
    const along = (axis: number): number[] =>
      Array.from({ length: to - from }, (_, i) => points[size * (from + i) + axis]);
    return {
      x: along(0),
      y: along(1),
      type: 'scatter',
      mode: 'markers',
      marker: { size: 11, opacity: 0 },
      selected: { marker: { opacity: 0 } },
      unselected: { marker: { opacity: 0 } },
      hoverinfo: 'none',
    };
  }

  private rebuild({ record, plane }: Shown): void {
    const turning = !isFlat(plane);
    this.dots.classList.toggle('turning', turning);
    this.plot.style.visibility = turning ? 'hidden' : '';
    find(this.element, '.caption').textContent = captionOf(plane);
    this.picture = boardImage(record, () => this.paint());
    this.paintColours(record);
    const there = () => {
      if (state.plane !== plane) return;
      this.locate();
      this.paint();
      this.element.dataset.ready = `${record.run} ${plane.method} ${plane.settings}`;
    };
    this.dots.classList.toggle('alone', !this.plotly);
    if (!this.plotly) {
      // in a frame of its own: while the page is built every look at its sizes costs a layout
      requestAnimationFrame(there);
      void this.readPlotly();
      return;
    }
    const count = record.token_kinds.length;
    const traces = [this.trace(plane, 0, count), this.trace(plane, count, plane.points.shape[0])];
    const config = {
      responsive: true,
      displaylogo: false,
      modeBarButtonsToRemove: ['autoScale2d'],
    };
    void this.plotly.react(this.plot, traces, this.axes(plane), config).then(() => {
      this.listenToPlot();
      there();
      this.element.dataset.axes = 'true';
    });
  }

  private listenToPlot(): void {
    if (this.listening) return;
    this.listening = true;
    const { plot } = this;
    plot.on('plotly_click', ({ points: [met], event }) => {
      if (met.curveNumber === 0) pick(withFirstPatch(met.pointNumber), event);
    });
    plot.on('plotly_selected', (event) => {
      const visual = event?.points.filter((met) => met.curveNumber === 0);
      if (visual) set({ selected: visual.map((met) => met.pointNumber), patch: -1 });
    });
    plot.on('plotly_hover', ({ points: [met] }) => {
      const first = met.curveNumber === 0 ? 0 : (state.record?.token_kinds.length ?? 0);
      this.hover(first + met.pointNumber);
    });
    plot.on('plotly_unhover', () => this.hover(-1));
    for (const name of ['plotly_afterplot', 'plotly_relayouting']) {
      plot.on(name, () => {
        if (!state.plane || !isFlat(state.plane)) return;
        this.locate();
        this.paint();
      });
    }
  }

  /** Axes and points, one on the other; in space there are no axes. */
  private async save(): Promise<void> {
    const shown = shownNow();
    if (!shown || !this.places) return;
    await this.readPlotly();
    const { clientWidth: width, clientHeight: height } = this.dots;
    const axes = this.plotly && isFlat(shown.plane) ? await this.axesImage(width, height) : null;
    const title = `Token space, VT + TT: ${find(this.element, '.caption').textContent}`;
    saveLayers(title, [axes, this.dots], width, height);
  }

  /** On white, whatever the theme. */
  private async axesImage(width: number, height: number): Promise<HTMLImageElement> {
    const { data, layout } = this.plot;
    const dark = (axis: AxisLayout): AxisLayout => ({
      ...axis,
      color: '#333',
      title: { ...axis.title, font: { size: 11, color: '#333' } },
    });
    const figure = {
      data,
      layout: { ...layout, xaxis: dark(layout.xaxis), yaxis: dark(layout.yaxis) },
    };
    const image = new Image();
    image.src = await this.plotly!.toImage(figure, { format: 'png', width, height, scale: 2 });
    await image.decode();
    return image;
  }

  // --- where the points are ---

  /** Where the axes are: Plotly's, or where they will be, with as much room around the points. */
  private frame({ points }: Plane): Frame {
    const drawn = this.plot._fullLayout;
    if (drawn) {
      const { xaxis, yaxis, _size } = drawn;
      return {
        ..._size,
        x: (value) => xaxis._offset + xaxis.d2p(value),
        y: (value) => yaxis._offset + yaxis.d2p(value),
      };
    }
    const { l, t, r, b } = MARGIN;
    const w = this.plot.clientWidth - l - r;
    const h = this.plot.clientHeight - t - b;
    const shareAlong = (axis: number) => {
      const [low, high] = rangeAlong(points, axis);
      const room = ROOM * (high - low) || 1;
      return (value: number): number => (value - low + room) / (high - low + 2 * room);
    };
    const [across, up] = [shareAlong(0), shareAlong(1)];
    return {
      l,
      t,
      w,
      h,
      x: (value) => l + w * across(value),
      y: (value) => t + h * (1 - up(value)),
    };
  }

  /** In the plane by the axes, in space by the angle it is turned to. */
  private locate(): void {
    const { plane } = state;
    if (!plane) return;
    const { points } = plane;
    if (!isFlat(plane)) {
      const { clientWidth, clientHeight } = this.plot;
      this.places = turned(points, this.turn, clientWidth, clientHeight);
      return;
    }
    const { x, y } = this.frame(plane);
    const places = new Float32Array(points.length);
    for (let i = 0; i < points.length; i += 2) {
      places[i] = x(points[i]);
      places[i + 1] = y(points[i + 1]);
    }
    this.places = places;
  }

  private isInside(i: number): boolean {
    const [x, y] = [this.places![2 * i], this.places![2 * i + 1]];
    return x > 0 && x < this.dots.clientWidth && y > 0 && y < this.dots.clientHeight;
  }

  // --- painting ---

  private paintColours(record: RunRecord): void {
    const name = this.colour.value;
    this.fill = tokenColours(name, record, state.words);
    find(this.element, '.key').replaceChildren(...colourKey(name, record, state.words));
  }

  private fitCanvas(): void {
    const { dots, pen } = this;
    const scale = window.devicePixelRatio || 1;
    const width = Math.round(dots.clientWidth * scale);
    const height = Math.round(dots.clientHeight * scale);
    if (dots.width !== width || dots.height !== height) {
      dots.width = width;
      dots.height = height;
    }
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
  }

  /** How large each token's patch is drawn, 0 where it is a dot. */
  private pictureSide(count: number): number {
    if (!this.picture?.complete) return 0;
    let near = 0;
    for (let i = 0; i < count; i++) near += Number(this.isInside(i));
    const close = near > 0 && near <= CLOSE;
    const always = this.colour.value === 'thumbnail';
    if (!always && !(this.thumbnails.checked && close)) return 0;
    return always && !close ? 14 : 26;
  }

  private paint(): void {
    const shown = shownNow();
    if (!shown || !this.places) return;
    const { record, plane } = shown;
    const { selected } = state;
    const { pen, places } = this;
    this.fitCanvas();
    pen.save();
    if (isFlat(plane)) {
      const { l, t, w, h } = this.frame(plane);
      pen.beginPath();
      pen.rect(l - 6, t - 6, w + 12, h + 12);
      pen.clip();
    }
    const count = record.token_kinds.length;
    const chosen = new Set(selected);
    const side = this.pictureSide(count);
    for (let i = 0; i < count; i++) if (!chosen.has(i)) this.paintToken(record, i, chosen, side);
    pen.globalAlpha = chosen.size ? 0.35 : 1;
    for (let i = 0; i < record.text.strings.length; i++) drawDiamond(pen, places, count + i);
    for (const i of selected) this.paintToken(record, i, chosen, side);
    pen.globalAlpha = 1;
    this.paintRings(record, side ? side * 0.73 : 8);
    pen.restore();
  }

  private paintToken(record: RunRecord, i: number, chosen: Set<number>, side: number): void {
    const { pen, picture } = this;
    const places = this.places!;
    const grey = chosen.size > 0 && !chosen.has(i);
    pen.globalAlpha = grey ? 0.18 : 1;
    if (side && picture && patchesOf(i).length) {
      if (!this.isInside(i)) return;
      const cell = picture.naturalWidth / record.columns;
      const [[row, column, rows, columns]] = rectanglesOf(i);
      const from = [column * cell, row * cell, columns * cell, rows * cell] as const;
      const [x, y] = [places[2 * i] - side / 2, places[2 * i + 1] - side / 2];
      pen.drawImage(picture, ...from, x, y, side, side);
      return;
    }
    pen.fillStyle = grey ? '#888' : this.fill[i];
    drawDot(pen, places, i);
  }

  private paintRings(record: RunRecord, radius: number): void {
    const { selected, hovered, text } = state;
    const places = this.places!;
    const count = record.token_kinds.length;
    const ring = (i: number, shade: string, size: number) =>
      drawRing(this.pen, places, i, shade, size);
    if (selected.length <= RINGED) for (const i of selected) ring(i, MARKS.selected, radius);
    if (hovered >= 0 && hovered < count) ring(hovered, MARKS.hovered, radius);
    if (text >= 0 && text < record.text.strings.length) ring(count + text, MARKS.hovered, 9);
  }

  private draw({ plane, record, selected }: State, changed: Set<string>): void {
    this.element.dataset.selected = selected.join(',');
    if (changed.has('record')) {
      const sizes = record?.numbers['VT + TT'].shape;
      heading(find(this.element, '.head'), 'Token space', 'VT + TT', sizes, WORDS);
    }
    if (!plane || !record) {
      this.places = null;
      this.pen.clearRect(0, 0, this.dots.width, this.dots.height);
      return;
    }
    const withoutAxes = this.plotly && !this.plot._fullLayout;
    const anew = changed.has('plane') || changed.has('record') || !this.places || withoutAxes;
    if (anew) {
      this.rebuild({ record, plane });
      return;
    }
    if (changed.has('words')) this.paintColours(record);
    this.paint();
  }

  // --- what the visitor does ---

  /** A point is under the pointer: Plotly tells in the plane, in space we look ourselves. */
  private hover(i: number): void {
    const count = state.record?.token_kinds.length ?? 0;
    set({ text: i < count ? -1 : i - count });
    point(i < 0 || i >= count ? [-1, -1] : withFirstPatch(i));
  }

  private nearest(event: MouseEvent): number {
    const { left, top } = this.dots.getBoundingClientRect();
    return this.places ? nearestPoint(this.places, event.clientX - left, event.clientY - top) : -1;
  }

  private isTurning(): boolean {
    return this.dots.classList.contains('turning');
  }

  private listenToCanvas(): void {
    const { dots } = this;
    dots.addEventListener('pointerdown', (event) => {
      const { a, b } = this.turn;
      this.drag = { x: event.clientX, y: event.clientY, a, b, moved: false };
      dots.setPointerCapture(event.pointerId);
    });
    dots.addEventListener('pointermove', (event) => this.move(event));
    dots.addEventListener('pointerup', (event) => {
      const { drag } = this;
      this.drag = null;
      if (!drag || drag.moved) return;
      const i = this.nearest(event);
      if (i >= 0 && i < (state.record?.token_kinds.length ?? 0)) pick(withFirstPatch(i), event);
    });
    dots.addEventListener('pointerleave', () => {
      if (!this.drag) this.hover(-1);
    });
    const zoom = (event: WheelEvent) => {
      if (!this.isTurning()) return;
      event.preventDefault();
      const { turn } = this;
      this.turn = { ...turn, zoom: turn.zoom * (event.deltaY < 0 ? 1.12 : 0.89) };
      this.locate();
      this.paint();
    };
    dots.addEventListener('wheel', zoom, { passive: false });
    dots.addEventListener('keydown', steer);
  }

  private move(event: PointerEvent): void {
    const { drag } = this;
    if (!drag || !this.isTurning()) {
      if (this.places) this.hover(this.nearest(event));
      return;
    }
    const [across, down] = [event.clientX - drag.x, event.clientY - drag.y];
    drag.moved ||= Math.hypot(across, down) > 4;
    this.turn = { ...this.turn, a: drag.a + across / 150, b: drag.b + down / 150 };
    this.locate();
    this.paint();
  }

  private listenToPage(): void {
    this.colour.addEventListener('change', () => {
      const shown = shownNow();
      if (!shown) return;
      this.paintColours(shown.record);
      this.paint();
    });
    this.thumbnails.addEventListener('change', () => this.paint());
    new ResizeObserver(() => {
      if (!this.places || !state.plane || !this.plot.clientWidth) return;
      // Plotly itself follows the window only: not a view that was hidden when it was drawn
      if (this.plot._fullLayout) this.plotly?.Plots.resize(this.plot);
      this.locate();
      this.paint();
    }).observe(this.dots);
    // light and dark
    new MutationObserver(() => {
      const shown = shownNow();
      if (shown && state.open.includes('space')) this.rebuild(shown);
    }).observe(document.body, { attributes: true, attributeFilter: ['class'] });
  }
}

export function mount({ element, props }: Panel): void {
  new SpaceView(element, props.plotly ?? '');
}
