// What Python sends, after `unpack`: the types of app/payloads and of the handlers.
import type { Bytes, Floats, Integers } from './wire';

/** [top, left, bottom, right] in pixels of the photos side by side. */
export type Box = [number, number, number, number];
/** [row, column, rows, columns] in cells of the board. */
export type Rectangle = [number, number, number, number];
/** [height, width] in pixels. */
export type Size = [number, number];
/** What is instead of a reply that the server could not give. */
export interface Refused {
  error: string;
}

export interface Stage {
  symbol: string;
  shape: number[];
  axes: string[];
  ms: number;
}

export interface Photo {
  left: number;
  size: Size;
  seen: Box;
}

export interface Picture {
  name: string;
  photo: number;
  tile: boolean;
  box: Box;
  rectangle: Rectangle;
}

export interface Vectors {
  shape: number[];
  first: Floats;
  norms: Floats;
}

export interface Colours {
  rgb: Bytes;
  explained: number[];
}

export interface Layout {
  photo: string;
  photo_size: Size;
  photos: Photo[];
  received: string;
  received_size: Size;
  transform: string;
  rows: number;
  columns: number;
  shelf: number | null;
  patch_size: number;
  pictures: Picture[];
  cells: Integers;
  token_cells: Integers;
  token_patches: Integers;
  token_photos: Integers;
  token_kinds: Bytes;
  kinds: string[];
  boxes: Floats;
  colours: Bytes;
}

export interface Asked {
  example: string | null;
  model: string;
  settings: Record<string, string | number>;
}

export interface RunRecord extends Layout {
  run: string;
  question: string;
  stages: Stage[];
  positions_kind: string;
  positions: Integers | null;
  numbers: {
    x_p: Vectors;
    projection: Vectors | null;
    "X'": Vectors;
    VT: Vectors;
    'VT + TT': { shape: number[] };
  };
  layers: { read: number[]; norms: Floats; limit: Floats };
  connector: { before: Colours; after: Colours };
  text: { strings: string[]; roles: string[]; norms: Floats; positions: Integers };
  prompt: (string | number)[];
  merge: string;
  language_layers: number;
  model?: string;
  asked?: Asked;
  instant?: { made: string; versions: Record<string, string> };
}

export interface Plane {
  run: string;
  method: 'pca' | 'umap' | 'tsne';
  points: Floats;
  explained: number[];
  settings: string;
  asked?: Record<string, string>;
}

/** A word and its cosine. */
export type Near = [string, number];

export interface Words {
  run: string;
  words: Near[][];
  neighbours: Integers;
  groups: Bytes;
}

/** A token, its probability before and after D_d. */
export type Alternative = [string, number, number];

export interface Step {
  string: string;
  probability: number;
  decoding: number;
  entropy: number;
  end: boolean;
  alternatives: Alternative[];
}

export interface Glances {
  visual: Floats;
  shares: Floats;
}

export interface Answer {
  run: string;
  key: string | null;
  answer: string;
  finished: boolean;
  longest: number;
  stages: Stage[] | null;
  steps: Step[];
  looked: Glances | null;
}

export interface Rows {
  pixels: Floats;
  projection: Floats | null;
  position: Floats | null;
  position_cosine: Floats | null;
  rotation: Floats | null;
  rotation_cosine: Floats | null;
  embedded: Floats;
  cosine: Floats;
  without_attention: string;
  among?: [number, number];
  elsewhere?: number;
  prefix?: number;
  attention?: Floats;
  rollout?: Floats;
}

export interface LayerColours {
  rgb: Colours;
  foreground: Colours;
}

export interface WordAttention {
  visual: Floats;
  mean: Floats;
  shares: Floats;
}

export interface Lenses {
  entering: Near[];
  layers: Near[][];
  near: [string, number, number][][];
  without: string;
}

export interface LensRows {
  first: number;
  words: string[];
  ids: Integers;
  chances: Floats;
}

export interface WordMaps {
  word: string;
  values: Floats;
  layers: number;
}

export interface Looked {
  numbers: number[];
  heads: Floats;
  mean: Floats;
  clean: Floats;
  relative: Floats;
  rollout: Floats;
  text: Floats | null;
  shares: number[];
  sinks: [number, string][];
  first: number | null;
}

export interface Relevancy {
  values: Floats;
  share: number;
}

export interface Ablation {
  count: number;
  lit: number;
  mean: number;
  spread: number;
  random: number[];
  mattered: boolean;
}

export interface Losses {
  image: number;
  text: number;
  both: number;
  sigmoid: number;
}

export interface Lab {
  key: string;
  model: string;
  photos: string[];
  sizes: Size[];
  texts: string[];
  templates: string[];
  cosine: Floats;
  logit_scale: number;
  logit_bias: number | null;
  losses: Losses | null;
  space: { points: Floats; explained: number[]; gap: number; spread: [number, number] };
  notes: string[];
}

export interface Cell {
  words: Near[];
  patches?: Floats | null;
  corrected?: Floats | null;
  exact?: boolean;
  cls?: number;
  cosine?: number;
  boxes?: Floats;
  error?: string;
}

export interface Ledger {
  width: number;
  height: number;
  rows: { family: string; checkpoint: string; tokens: number; why: string; compared: boolean }[];
  sides: number[];
  curve: Integers;
}

export interface Beside {
  run: string;
  model: string;
  stages: Stage[];
  patches: number;
  photo: string;
  photo_size: Size;
  boxes: Floats;
}

export interface Instant {
  photo: string;
}

/** What the address asks for, as the page's handler read it. */
export interface Link {
  selected: number[];
  open: string[];
  layer: number;
  lesson: number;
  instant: Instant | null;
}

export interface Model {
  state: 'loading' | 'ready' | 'failed';
  message: string;
}
