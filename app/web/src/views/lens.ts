// What visual tokens "say" inside the language model: one token through three lenses, all tokens at
// every layer, or where in the picture a word is said.
import { cividis, paintGround } from '../core/colour';
import { find, findAll, heading, make, pressOnly } from '../core/dom';
import { GridMap } from '../core/maps';
import { percent, visible } from '../core/numbers';
import { onlyChanged, stageView, type Panel } from '../core/panel';
import type { Lenses, Near, RunRecord, WordMaps } from '../core/payloads';
import type { BoardMap, State } from '../core/state';
import { focus, set, state } from '../core/store';
import { sliceOf } from '../core/wire';
import { LensTable, layerName } from './lens-table';

type Part = 'token' | 'table' | 'word';
const PARTS: Part[] = ['token', 'table', 'word'];
const SHOWN = 3; // words of the logit lens a layer; the others are in the cell's title
const PHRASES = 2; // of the contextual lens, likewise
const WORDS: Record<Part, string> = {
  token:
    'Three ways to ask what one token “says” on its way through the language model. Look for the' +
    ' layer where the words begin to name what is there.',
  table:
    'The most probable word of every token (rows) after every layer (columns), by the logit lens.' +
    ' Look for the column where words begin to name what is there.',
  word:
    'The probability of a word at every token, by the logit lens, layer by layer. Small pictures:' +
    ' click one for its layer.',
};
const READING = 'Reading every token at every layer; the next word takes no time.';

/** A word of the logit lens, as bright as it is probable. */
function wordCell([word, probability]: Near, all: Near[]): HTMLElement {
  const cell = make('td', '', `${visible(word)} ${percent(probability)}`);
  paintGround(cell, cividis(probability));
  cell.title = all.map(([each, share]) => `${visible(each)} ${percent(share)}`).join('\n');
  return cell;
}

type Phrase = [string, number, number];

function phraseCell([phrase, cosine]: Phrase, all: Phrase[]): HTMLElement {
  const cell = make('td', 'phrase');
  cell.append(make('i', '', cosine.toFixed(2)), ` ${phrase}`);
  const titles = all.map(([each, near, at]) => `${each} (${near.toFixed(2)}, at layer ${at})`);
  cell.title = titles.join('\n');
  return cell;
}

function layerRow(words: Near[], near: Phrase[] | undefined, layer: number): HTMLElement {
  const row = make('tr');
  const head = make('th', '', layerName(layer));
  head.scope = 'row';
  row.append(head, ...words.slice(0, SHOWN).map((word) => wordCell(word, words)));
  if (near) row.append(...near.slice(0, PHRASES).map((phrase) => phraseCell(phrase, near)));
  return row;
}

function wordsFound(found: State['found']): WordMaps | null {
  return found && !('error' in found) && found.values ? found : null;
}

class LensView {
  private readonly map: GridMap;
  private readonly table: LensTable;
  private readonly buttons: HTMLElement[];
  private readonly slider: HTMLInputElement;
  private readonly sought: HTMLInputElement;
  private readonly over: HTMLInputElement;
  private part: Part = 'token';
  private layers = 0;
  private run = '';
  /** A small map a layer. */
  private every: GridMap[] = [];

  constructor(private readonly element: HTMLElement) {
    this.map = new GridMap(find(element, '.chosen'), 'where the word is said');
    this.map.host.style.width = '200px';
    this.buttons = findAll(element, '.part');
    this.slider = find(element, '.of');
    this.sought = find(element, '.sought');
    this.over = find(element, '.over');
    this.table = new LensTable(element, {
      isOpen: () => this.part === 'table' && state.open.includes('lens'),
      changed: () => this.hint(),
    });
    this.listen();
    const seen = ['record', 'lens', 'found', 'sought', 'selected', 'hovered', 'under', 'patch'];
    stageView(element, 'lens', seen, (now, changed) => this.draw(now, changed));
  }

  private listen(): void {
    for (const button of this.buttons) {
      button.addEventListener('click', () => this.choose(button));
    }
    const seek = () => {
      const word = this.sought.value.trim();
      set({ sought: word ? { word, layer: this.layer() } : null });
    };
    this.sought.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') seek();
    });
    this.sought.addEventListener('change', seek);
    this.slider.addEventListener('input', () => this.chooseLayer());
    this.over.addEventListener('change', () => this.showWord());
  }

  private choose(button: HTMLElement): void {
    this.part = button.dataset.part as Part;
    pressOnly(this.buttons, button);
    for (const part of PARTS) find(this.element, `.part-${part}`).hidden = part !== this.part;
    for (const control of findAll(this.element, '.for-word')) {
      control.hidden = this.part !== 'word';
    }
    this.draw(state, new Set(['record', 'open']));
  }

  private layer(): number {
    return Number(this.slider.value);
  }

  private chooseLayer(): void {
    set({ sought: state.sought && { ...state.sought, layer: this.layer() } });
    this.tellLayer();
  }

  private tellLayer(): void {
    const layer = this.layer();
    const which = layer ? `${layer} of ${this.layers}` : 'going in';
    find(this.element, '.which').textContent = this.layers ? which : '–';
  }

  // --- a word, everywhere ---

  private showWord(): void {
    const { sought } = state;
    const found = wordsFound(state.found);
    const map: BoardMap | null =
      this.part === 'word' && sought && found
        ? {
            values: sliceOf(found.values, sought.layer),
            of: 'token',
            label: `probability of “${visible(found.word)}” after ${layerName(sought.layer)}`,
          }
        : null;
    this.map.show(map);
    this.every.forEach((small, layer) => {
      small.host.classList.toggle('here', layer === sought?.layer);
    });
    if (map && this.over.checked) set({ overlay: { ...map, from: 'lens' } });
    else if (state.overlay?.from === 'lens') set({ overlay: null });
  }

  private showEveryLayer(): void {
    const found = this.part === 'word' ? wordsFound(state.found) : null;
    if (this.every.length !== this.layers + 1) this.makeEvery();
    // one scale for all layers: the small pictures can be compared
    const most = found ? Math.max(...found.values) : 1;
    this.every.forEach((small, layer) => {
      const label = layerName(layer);
      const scale = { of: 'token', low: 0, high: most, label } as const;
      small.show(found ? { ...scale, values: sliceOf(found.values, layer) } : null);
    });
  }

  private makeEvery(): void {
    const host = find(this.element, '.every');
    host.replaceChildren();
    this.every = Array.from({ length: this.layers + 1 }, (_, layer) => {
      const small = new GridMap(host, layerName(layer));
      small.host.addEventListener('click', (event) => {
        if (small.holds(event.target)) return;
        this.slider.value = String(layer);
        this.chooseLayer();
      });
      return small;
    });
    host.append(...this.every.map((small) => small.host).reverse()); // the last layers say most
  }

  // --- one token ---

  private showToken(token: number): void {
    const { lens } = state;
    const there: Lenses | null =
      lens && !('error' in lens) && lens.about[0] === token ? lens : null;
    const entering = (there?.entering ?? []).map(([word, cosine]) => {
      const line = make('li');
      line.append(make('span', '', visible(word)), make('span', '', cosine.toFixed(2)));
      return line;
    });
    find(this.element, '.entering').replaceChildren(...entering);
    const rows = (there?.layers ?? []).map((words, layer) =>
      layerRow(words, there?.near[layer], layer),
    );
    find(this.element, '.says tbody').replaceChildren(...rows.reverse());
    find<HTMLTableCellElement>(this.element, '.says thead .logit').colSpan = SHOWN;
    const near = find<HTMLTableCellElement>(this.element, '.says thead .near');
    near.colSpan = PHRASES;
    near.lastChild!.textContent = there?.without || 'phrases whose last word is in a like state';
    find(this.element, '.says').hidden = !there?.layers.length;
  }

  // --- all of it ---

  private hint(): void {
    find(this.element, '.hint').textContent = this.hintWords();
  }

  private hintWords(): string {
    const { record, lens, found, sought } = state;
    if (!record) return 'Run a question first.';
    if (this.part === 'table') return this.table.failed;
    if (this.part === 'token') {
      if (focus() < 0) return 'Select a token in the picture.';
      if (!lens) return 'Reading …';
      if ('error' in lens) return lens.error;
      return lens.layers.length ? '' : lens.without;
    }
    if (found && 'error' in found) return found.error;
    if (!sought) return 'Type a word and press Enter.';
    return found ? '' : READING;
  }

  private takeRecord(record: RunRecord): void {
    if (record.run !== this.run) {
      this.run = record.run;
      this.table.begin(record);
    }
    if (record.language_layers === this.layers) return;
    this.layers = record.language_layers;
    this.slider.max = String(this.layers);
    this.slider.value = String(this.layers);
  }

  private mark(hovered: number): void {
    if (this.part === 'table') {
      this.table.bringIntoSight(hovered);
      this.table.mark();
    }
    if (this.part === 'word') for (const map of [this.map, ...this.every]) map.mark();
  }

  private draw(now: State, changed: Set<string>): void {
    if (onlyChanged(changed, ['hovered', 'under', 'patch'])) {
      this.mark(now.hovered);
      return;
    }
    const { record } = now;
    const sizes = record?.numbers['VT + TT'].shape;
    heading(find(this.element, '.head'), 'What tokens say', 'g_φ', sizes, WORDS[this.part]);
    if (record) this.takeRecord(record);
    this.hint();
    this.tellLayer();
    if (this.part === 'token') this.showToken(record ? focus() : -1);
    if (this.part === 'table' && record) {
      if (changed.has('selected')) this.table.bringIntoSight(focus());
      this.table.show();
    }
    const anew = ['found', 'record', 'open'].some((name) => changed.has(name));
    if (record && anew) this.showEveryLayer();
    if (this.part === 'word' && changed.has('selected')) {
      for (const small of this.every) small.mark();
    }
    this.showWord();
  }
}

export function mount({ element }: Panel): void {
  new LensView(element);
}
