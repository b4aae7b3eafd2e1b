// The token space of a page that was taken home: the same points as on the page, without axes.
import { shownPair } from '../core/board';
import { MARKS } from '../core/colour';
import { find, heading, penOf } from '../core/dom';
import { visible } from '../core/numbers';
import type { Panel } from '../core/panel';
import type { Plane, RunRecord } from '../core/payloads';
import { where } from '../core/places';
import { pick, point, steer } from '../core/selection';
import type { State } from '../core/state';
import { set, state, subscribe } from '../core/store';
import type { Floats } from '../core/wire';
import {
  drawDiamond,
  drawDot,
  drawRing,
  NAMES,
  nearestPoint,
  rangeAlong,
  shadeAt,
  withFirstPatch,
  type Places,
} from '../views/points';

const MARGIN = 14; // pixels around the points

/** Where points stand on a canvas: their first two coordinates, the second one upwards. */
export function spreadOut(points: Floats, width: number, height: number): Places {
  const [count, size] = points.shape;
  const places = new Float32Array(2 * count);
  for (const axis of [0, 1]) {
    const [low, high] = rangeAlong(points, axis);
    const room = (axis ? height : width) - 2 * MARGIN;
    for (let i = 0; i < count; i++) {
      const share = (points[size * i + axis] - low) / (high - low || 1);
      places[2 * i + axis] = MARGIN + (axis ? 1 - share : share) * room;
    }
  }
  return places;
}

function words({ method, explained, settings }: Plane): string {
  const axis = (i: number): string => {
    const share = explained.length ? ` (${(100 * explained[i]).toFixed(1)} %)` : '';
    return `${NAMES[method]} ${i + 1}${share}`;
  };
  return (
    'Visual tokens (dots in the colour of their patch) and text tokens (blue diamonds) in one' +
    ` space. To the right ${axis(0)}, upwards ${axis(1)}${settings ? `; ${settings}` : ''}.`
  );
}

class Scatter {
  private readonly dots: HTMLCanvasElement;
  private places: Places | null = null;

  constructor(private readonly element: HTMLElement) {
    this.dots = find(element, '.dots');
    this.dots.addEventListener('pointermove', (event) => this.hover(this.nearest(event)));
    this.dots.addEventListener('pointerleave', () => this.hover(-1));
    this.dots.addEventListener('click', (event) => {
      const i = this.nearest(event);
      const count = state.record?.token_kinds.length ?? 0;
      if (i >= 0 && i < count) pick(withFirstPatch(i), event);
    });
    this.dots.addEventListener('keydown', steer);
    new ResizeObserver(() => {
      const { record, plane } = state;
      if (!this.places || !record || !plane) return;
      this.locate(plane);
      this.paint(record);
    }).observe(this.dots);
    const seen = ['record', 'plane', 'selected', 'hovered', 'under', 'text'];
    subscribe(seen, (now, changed) => this.draw(now, changed));
  }

  private locate({ points }: Plane): void {
    this.places = spreadOut(points, this.dots.clientWidth, this.dots.clientHeight);
  }

  private nearest(event: MouseEvent): number {
    const { left, top } = this.dots.getBoundingClientRect();
    const { places } = this;
    return places ? nearestPoint(places, event.clientX - left, event.clientY - top) : -1;
  }

  private hover(i: number): void {
    const count = state.record?.token_kinds.length ?? 0;
    set({ text: i < count ? -1 : i - count });
    point(i < 0 || i >= count ? [-1, -1] : withFirstPatch(i));
  }

  private paint(record: RunRecord): void {
    const { selected, hovered, text } = state;
    const { dots } = this;
    const places = this.places!;
    const pen = penOf(dots);
    const scale = window.devicePixelRatio || 1;
    const count = record.token_kinds.length;
    const chosen = new Set(selected);
    dots.width = Math.round(dots.clientWidth * scale);
    dots.height = Math.round(dots.clientHeight * scale);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    for (let i = 0; i < count; i++) {
      pen.globalAlpha = chosen.size && !chosen.has(i) ? 0.25 : 1;
      pen.fillStyle = shadeAt(record.colours, i);
      drawDot(pen, places, i);
    }
    pen.globalAlpha = chosen.size ? 0.35 : 1;
    for (let i = count; i < places.length / 2; i++) drawDiamond(pen, places, i);
    pen.globalAlpha = 1;
    for (const i of selected) drawRing(pen, places, i, MARKS.selected);
    if (hovered >= 0) drawRing(pen, places, hovered, MARKS.hovered);
    if (text >= 0) drawRing(pen, places, count + text, MARKS.hovered);
  }

  private draw({ record, plane, text, hovered }: State, changed: Set<string>): void {
    if (!record || !plane) return;
    if (changed.has('plane')) {
      const sizes = record.numbers['VT + TT'].shape;
      heading(find(this.element, '.head'), 'Token space', 'VT + TT', sizes, words(plane));
      this.locate(plane);
    }
    this.paint(record);
    const [token, patch] = shownPair();
    const ofText = text >= 0 ? `text token “${visible(record.text.strings[text])}”` : '';
    const ofToken = token >= 0 ? where(token, patch) : '';
    find(this.element, '.told').textContent = ofText || ofToken;
    this.element.dataset.hovered = String(hovered);
  }
}

export function mount({ element }: Panel): void {
  new Scatter(element);
}
