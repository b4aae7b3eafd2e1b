// The contrastive lab: photos against texts. The cosines come from Python; every other reading and
// the losses are computed here, so that tau and the pairing can be moved without asking again.
import { cividis, gradient, paintGround, signed } from '../core/colour';
import {
  inOrder,
  isInOrder,
  lossesOf,
  readingsOf,
  shufflePairs,
  type PairLosses,
  type Readings,
} from '../core/contrast';
import { attributes, find, findAll, make, penOf, pressOnly, term } from '../core/dom';
import { extremes, mean, number, percent } from '../core/numbers';
import type { Panel } from '../core/panel';
import type { Cell, Lab } from '../core/payloads';
import { set } from '../core/store';
import { unpack } from '../core/wire';
import { drawLabSpace, spaceWords } from './lab-space';

type Reading = keyof Readings;
const MANY = 10; // photos from which on cells are small
const EACH = 8; // pairs up to which the loss of each is shown
const RANKED = 10; // labels that are shown
const WORDS: Record<Reading, string> = {
  cosine:
    'How alike the two vectors point: 1 the same way, 0 unrelated, −1 opposite. A perfect match' +
    ' is often only 0.2 to 0.4: photos and texts lie in two cones of their own.',
  logits: 'The cosine times e^τ: learned, so that small differences in angle become decisive.',
  image_to_text: 'For each photo, which text fits it? Each photo’s column sums to 100 %.',
  text_to_image: 'For each text, which photo fits it? Each text’s row sums to 100 %.',
  sigmoid:
    'Each pair alone: does it belong together? What SigLIP is trained for; without its bias the' +
    ' numbers say little.',
};
const INVERTED =
  'Such maps are known to invert: the background lights up (Li et al., CLIP Surgery, 2023). They' +
  ' do not add up to the score.';
const CORRECTED = 'In the last layer each patch looks only at itself (Zhou et al., 2022).';
const STEPS: Record<string, [photo: number, text: number]> = {
  ArrowRight: [1, 0],
  ArrowLeft: [-1, 0],
  ArrowDown: [0, 1],
  ArrowUp: [0, -1],
};

const isShare = (reading: Reading): boolean => !['cosine', 'logits'].includes(reading);

/** A value as its reading is told. */
export function valueWords(reading: Reading, value: number): string {
  if (isShare(reading)) return percent(value);
  return value.toFixed(reading === 'logits' ? 2 : 3);
}

/** The same where there is little room: no percent sign, no zero before the point. */
export function shortValue(reading: Reading, value: number): string {
  if (isShare(reading)) return (100 * value).toFixed(0);
  return value.toFixed(2).replace(/^(-?)0/, '$1');
}

/** A bar of a share, beside what it is of and how much that is. */
function makeBar(
  name: (string | HTMLElement)[],
  share: number,
  value: string,
): { row: HTMLElement; track: HTMLElement; fill: HTMLElement } {
  const row = make('div', 'loss');
  const track = make('div', 'track');
  const fill = make('div', 'fill');
  const label = make('span');
  label.append(...name);
  fill.style.width = `${100 * share}%`;
  track.append(fill);
  row.append(label, track, make('span', '', value));
  return { row, track, fill };
}

class SimilarityView {
  private readonly element: HTMLElement;
  private readonly table: HTMLElement;
  private readonly slider: HTMLInputElement;
  private readonly corrected: HTMLInputElement;
  private data: Lab | null = null;
  private reading: Reading = 'cosine';
  private tau = 0;
  private pairs: number[] = [];
  /** The photo and the text that were clicked, and what the server says of them. */
  private chosen: [number, number] | null = null;
  private about: Cell | null = null;

  constructor(private readonly panel: Panel) {
    this.element = panel.element;
    this.table = find(this.element, '.matrix');
    this.slider = find(this.element, '.tau');
    this.corrected = find(this.element, '.corrected');
    find(this.element, '.base').append(term('τ', true));
    this.listenToTable();
    this.listenToControls();
    panel.watch('value', () => this.load());
    this.load();
  }

  private load(): void {
    const value = this.panel.props.value as Lab | null;
    const isPage = this.element.closest('#similarity') !== null; // not the one beside it
    find(this.element, '.lab').hidden = !value?.key;
    this.element.dataset.ready = '';
    if (!value?.key) {
      this.data = null;
      if (isPage) set({ lab: null });
      return;
    }
    const data = unpack<Lab>(value);
    this.data = data;
    this.chosen = null;
    this.about = null;
    this.pairs = inOrder(data.photos.length);
    this.tau = Math.log(data.logit_scale);
    this.slider.value = String(this.tau);
    find(this.element, '.model').textContent = `Model: ${data.model}`;
    find(this.element, '.notes').replaceChildren(...data.notes.map((note) => make('li', '', note)));
    this.draw();
    this.drawSpace(data);
    this.drawCell();
    if (isPage) set({ lab: data }); // for the lesson and the glossary
  }

  // --- the matrix ---

  private draw(): void {
    const { data, reading } = this;
    if (!data) return;
    const { cosine, photos, texts, logit_bias } = data;
    const all = readingsOf(cosine, photos.length, texts.length, this.tau, logit_bias);
    find(this.element, '.words').textContent = WORDS[reading];
    this.drawMatrix(data, all);
    this.tellScale(data);
    const square = photos.length === texts.length;
    this.drawLosses(data, square ? lossesOf(all, this.pairs) : null);
    this.drawRanked(data, all);
    this.element.dataset.ready = data.key;
  }

  private drawMatrix({ photos, texts }: Lab, all: Readings): void {
    const { reading } = this;
    const matrix = all[reading];
    const [low, high] = isShare(reading) ? [0, 1] : extremes(matrix.flat());
    this.table.classList.toggle('many', photos.length > MANY);
    const head = make('tr');
    head.append(make('th', '', ''), ...photos.map(photoHead));
    const rows = texts.map((text, t) => {
      const row = make('tr');
      const name = make('th', '', text);
      name.scope = 'row';
      const cells = photos.map((_, photo) => {
        const value = matrix[photo][t];
        return this.makeCell(photo, t, text, value, (value - low) / (high - low || 1));
      });
      row.append(name, ...cells);
      return row;
    });
    this.table.replaceChildren(head, ...rows);
    const scale = find(this.element, '.main > .scale');
    this.drawScale(scale, valueWords(reading, low), valueWords(reading, high));
  }

  private drawScale(scale: HTMLElement, low: string, high: string): void {
    find(scale, '.low').textContent = low;
    find(scale, '.high').textContent = high;
    find(scale, '.colours').style.background = gradient(cividis);
  }

  private makeCell(
    photo: number,
    text: number,
    words: string,
    value: number,
    share: number,
  ): HTMLElement {
    const { reading, chosen } = this;
    const { photos, texts } = this.data!;
    const told = valueWords(reading, value);
    const cell = make('td', '', photos.length > MANY ? shortValue(reading, value) : told);
    paintGround(cell, cividis(share));
    cell.tabIndex = 0;
    cell.dataset.photo = String(photo);
    cell.dataset.text = String(text);
    const label = `photo ${photo + 1}, ${words}: ${told}`;
    attributes(cell, { role: 'button', 'aria-label': label });
    cell.title = told;
    const square = photos.length === texts.length;
    cell.classList.toggle('pair', square && this.pairs[photo] === text);
    cell.classList.toggle('on', chosen?.[0] === photo && chosen[1] === text);
    return cell;
  }

  private tellScale({ photos, texts, logit_bias, logit_scale }: Lab): void {
    const scale = Math.exp(this.tau);
    const bias = logit_bias === null ? '' : ` + bias ${logit_bias.toFixed(2)}`;
    const learned = Math.abs(scale - logit_scale) < 1e-6 * scale ? ' (learned)' : '';
    const unpaired =
      ' The losses need pairs: as many photos as texts, and there are' +
      ` ${photos.length} and ${texts.length}.`;
    find(this.element, '.tau-value').textContent = scale.toFixed(2) + learned;
    find(this.element, '.facts').textContent =
      `logits = cosine · ${scale.toFixed(2)}${bias}.` +
      (photos.length === texts.length ? '' : unpaired);
  }

  // --- losses, labels, space ---

  private drawLosses({ photos, logit_bias }: Lab, loss: PairLosses | null): void {
    const host = find(this.element, '.losses');
    const count = photos.length;
    find(this.element, '.shuffle').hidden = !loss || count < 2;
    find(this.element, '.given').hidden = !loss || isInOrder(this.pairs);
    this.element.dataset.losses = loss
      ? [loss.image, loss.text, loss.both, loss.sigmoid].join(' ')
      : '';
    if (!loss) {
      host.replaceChildren();
      return;
    }
    const rows = this.lossBars(loss, count);
    if (logit_bias !== null) {
      const words = `Sigmoid loss, what this model was trained with: ${loss.sigmoid.toFixed(3)}.`;
      rows.push(make('p', '', words));
    }
    host.replaceChildren(...rows, make('p', '', this.guessingWords(count)));
  }

  private lossBars({ each, image, text, both }: PairLosses, count: number): HTMLElement[] {
    const chance = Math.log(count);
    const top = Math.max(chance, image, text, ...each.image, ...each.text, 1e-9);
    const bar = (name: (string | HTMLElement)[], value: number, faint = false): HTMLElement => {
      const { row, track, fill } = makeBar(name, value / top, value.toFixed(3));
      const mark = make('div', 'chance');
      mark.style.left = `${(100 * chance) / top}%`;
      mark.title = `guessing: ln ${count} = ${chance.toFixed(3)}`;
      if (faint) fill.style.opacity = '0.6';
      track.append(mark);
      return row;
    };
    const rows = [
      bar([term('L_X', true), ' photo → text'], image),
      bar([term('L_t', true), ' text → photo'], text),
      bar([term('L', true), ', their mean'], both),
    ];
    if (count > EACH || count < 2) return rows;
    const ofPairs = this.pairs.map((other, photo) => {
      const name = `photo ${photo + 1} – text ${other + 1}`;
      return bar([name], (each.image[photo] + each.text[photo]) / 2, true);
    });
    return [...rows, ...ofPairs];
  }

  private guessingWords(count: number): string {
    if (count < 2) return 'One pair alone has nothing to be confused with.';
    const shuffled = isInOrder(this.pairs) ? '' : ', shuffled now';
    const chance = Math.log(count).toFixed(3);
    const framed = `Framed cells are the pairs${shuffled}.`;
    return `The line marks guessing, ln ${count} = ${chance}. ${framed}`;
  }

  /** A label for every text makes a classifier: the labels of one photo, the likeliest first. */
  private drawRanked({ texts, templates }: Lab, all: Readings): void {
    const host = find(this.element, '.ranked');
    host.hidden = !templates.length;
    if (!templates.length) return;
    const photo = this.chosen ? this.chosen[0] : 0;
    const ranked = all.image_to_text[photo]
      .map((share, text) => ({ share, text }))
      .sort((one, other) => other.share - one.share)
      .slice(0, RANKED);
    const more = templates.length > 1 ? ` and ${templates.length - 1} more sentences` : '';
    const which = `photo ${photo + 1} among ${texts.length} labels`;
    const words = `Zero-shot: ${which}, as “${templates[0]}”${more}`;
    const rows = ranked.map(({ share, text }) => makeBar([texts[text]], share, percent(share)).row);
    host.replaceChildren(make('p', 'view-words', words), ...rows);
  }

  private drawSpace(data: Lab): void {
    const canvas = find<HTMLCanvasElement>(this.element, '.space-view canvas');
    const words = spaceWords(data.space);
    drawLabSpace(canvas, data);
    find(this.element, '.space-view figcaption').textContent = words;
    canvas.setAttribute('aria-label', words);
  }

  // --- one photo and one text ---

  private drawCell(): void {
    const { about, chosen, data } = this;
    const view = find(this.element, '.cell-view');
    view.hidden = !chosen || !about;
    if (!chosen || !about || !data) return;
    const patches = about.patches ?? null;
    find(view, '.cell-map').hidden = !patches;
    find(view, '.scale').hidden = !patches;
    find(view, '.switch-row').hidden = !about.corrected;
    this.drawSentence(about);
    const label = `“${data.texts[chosen[1]]}”`;
    if (!patches) {
      find(view, '.cell-words').textContent =
        about.error ||
        `This tower has no patches in the joint space, so there is no map of ${label}.`;
      return;
    }
    const values = (this.corrected.checked && about.corrected) || patches;
    find(view, '.cell-words').textContent = this.cellWords(about, label, values);
    const [low, high] = extremes(values);
    this.drawCellMap(data, values, about.boxes!, low, high);
    this.drawScale(find(view, '.scale'), number(low), number(high));
  }

  private drawSentence({ words }: Cell): void {
    const most = Math.max(...words.map(([, change]) => Math.abs(change)), 1e-9);
    const nodes = words.flatMap(([word, change]) => {
      const sign = change > 0 ? '+' : '';
      const node = make('span', 'word-change', `${word} ${sign}${change.toFixed(3)} `);
      paintGround(node, signed(-change / most));
      return [node, ' '];
    });
    const list = find(this.element, '.sentence');
    list.replaceChildren('Each word left out changes the cosine by: ', ...nodes);
  }

  private cellWords(about: Cell, label: string, values: Float32Array): string {
    const photo = this.chosen![0] + 1;
    if (about.exact) {
      return (
        `What each patch of photo ${photo} adds to ${label}: CLS ${about.cls!.toFixed(3)} + mean` +
        ` of the patches ${mean(values).toFixed(3)} = cosine ${about.cosine!.toFixed(3)}, exactly.`
      );
    }
    const warning = values === about.corrected ? CORRECTED : INVERTED;
    return `How near each patch of photo ${photo} is to ${label}. ${warning}`;
  }

  private drawCellMap(
    data: Lab,
    values: Float32Array,
    boxes: Float32Array,
    low: number,
    high: number,
  ): void {
    const [photo] = this.chosen!;
    const canvas = find<HTMLCanvasElement>(this.element, '.cell-map');
    const pen = penOf(canvas);
    const image = new Image();
    image.onload = () => {
      const [tall, wide] = data.sizes[photo];
      canvas.width = image.naturalWidth;
      canvas.height = image.naturalHeight;
      pen.drawImage(image, 0, 0);
      const [width, height] = [canvas.width / wide, canvas.height / tall];
      values.forEach((value, patch) => {
        const [red, green, blue] = cividis((value - low) / (high - low || 1));
        const [top, left, bottom, right] = boxes.subarray(4 * patch, 4 * patch + 4);
        pen.fillStyle = `rgba(${red},${green},${blue},.72)`;
        const [across, down] = [(right - left) * width, (bottom - top) * height];
        pen.fillRect(left * width, top * height, across + 0.3, down + 0.3);
      });
      this.element.dataset.cell = (this.chosen ?? []).join(',');
    };
    image.src = data.photos[photo];
  }

  // --- what the visitor does ---

  private async choose(cell: HTMLElement): Promise<void> {
    const { data } = this;
    const chosen: [number, number] = [Number(cell.dataset.photo), Number(cell.dataset.text)];
    if (!data) return;
    this.chosen = chosen;
    this.about = null;
    this.draw();
    const reply = await this.panel.server.cell([data.key, ...chosen]);
    if (this.data !== data || this.chosen?.join() !== chosen.join()) return;
    this.about = { words: [], ...unpack<Partial<Cell>>(reply) };
    this.drawCell();
  }

  private listenToTable(): void {
    const cellOf = (event: Event) => (event.target as Element).closest('td');
    this.table.addEventListener('click', (event) => {
      const cell = cellOf(event);
      if (cell) void this.choose(cell);
    });
    this.table.addEventListener('keydown', (event) => {
      const cell = cellOf(event);
      const step = STEPS[event.key];
      if (!cell) return;
      if (event.key === 'Enter' || event.key === ' ') {
        event.preventDefault();
        void this.choose(cell);
      }
      if (!step) return;
      event.preventDefault();
      const photo = Number(cell.dataset.photo) + step[0];
      const text = Number(cell.dataset.text) + step[1];
      const next = `td[data-photo="${photo}"][data-text="${text}"]`;
      this.table.querySelector<HTMLElement>(next)?.focus();
    });
  }

  private listenToControls(): void {
    const choices = findAll(this.element, '.which');
    for (const button of choices) {
      button.addEventListener('click', () => {
        this.reading = button.dataset.name as Reading;
        pressOnly(choices, button);
        this.draw();
      });
    }
    this.slider.addEventListener('input', () => {
      this.tau = Number(this.slider.value);
      this.draw();
    });
    find(this.element, '.learned').addEventListener('click', () => {
      this.tau = Math.log(this.data!.logit_scale);
      this.slider.value = String(this.tau);
      this.draw();
    });
    find(this.element, '.shuffle').addEventListener('click', () => {
      this.pairs = shufflePairs(this.pairs);
      this.draw();
    });
    find(this.element, '.given').addEventListener('click', () => {
      this.pairs = inOrder(this.pairs.length);
      this.draw();
    });
    this.corrected.addEventListener('change', () => this.drawCell());
  }
}

function photoHead(photo: string, i: number): HTMLElement {
  const cell = make('th');
  const image = make('img');
  cell.scope = 'col';
  image.src = photo;
  image.alt = `photo ${i + 1}`;
  cell.append(image);
  return cell;
}

export function mount(panel: Panel): void {
  new SimilarityView(panel);
}
