// What is loading behind the page, and the visitor's place in the line for the model.
import { find, make } from '../core/dom';
import type { Panel } from '../core/panel';
import type { Model } from '../core/payloads';
import type { Place } from '../core/state';
import { set, state, subscribe } from '../core/store';

interface Job extends Model {
  name: string;
  fraction: number;
}

const SIGNS = { ready: '✓', loading: '…', failed: '✗' };

function makeJob({ name, state, fraction, message }: Job): HTMLElement {
  const item = make('li', state);
  item.append(make('span', 'mark', SIGNS[state]), make('span', '', message));
  if (state !== 'loading') return item;
  const bar = make('progress');
  bar.max = 1;
  if (fraction > 0) bar.value = fraction;
  bar.setAttribute('aria-label', name);
  item.append(bar);
  return item;
}

/** The visitor's place in the line for the model, in words. */
export function waitingWords({ place, of, seconds }: Place): string {
  const where = place === 1 ? 'you are next' : `place ${place} of ${of} in line`;
  const soon =
    seconds === null || seconds === undefined
      ? ''
      : `, answered in about ${Math.max(1, Math.round(seconds))} s`;
  return `Waiting for the model: ${where}${soon}`;
}

export function mount({ element, props, watch }: Panel): void {
  const list = find(element, '.jobs');
  const isPage = element.closest('#status') !== null; // not that of a model that is brought

  function drawWaiting(): void {
    const { waiting } = state;
    const old = list.querySelector('.waiting');
    if (!waiting) {
      old?.remove();
      return;
    }
    const item = old ?? list.appendChild(make('li', 'waiting'));
    item.textContent = waitingWords(waiting);
  }

  function draw(): void {
    const { jobs = [] } = (props.value as { jobs?: Job[] } | null) ?? {};
    list.replaceChildren(...jobs.map(makeJob));
    if (isPage) drawWaiting();
    // the vision-language model is the first
    const [first] = jobs;
    if (isPage && first) set({ model: { state: first.state, message: first.message } });
    const ready = jobs.filter((job) => job.state === 'ready').map((job) => job.name);
    element.dataset.ready = ready.join(',');
  }

  if (isPage) subscribe(['waiting'], drawWaiting);
  watch('value', draw);
  draw();
}
