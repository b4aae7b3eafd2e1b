// Contrastive learning as arithmetic: every reading of a matrix of cosines, and the losses. Rows
// are photos, columns texts, as in the article.
import { mean, softmax } from './numbers';

export type Matrix = number[][];
export interface Readings {
  cosine: Matrix;
  logits: Matrix;
  image_to_text: Matrix;
  text_to_image: Matrix;
  sigmoid: Matrix;
}

export interface PairLosses {
  /** Of every pair: photo to text, text to photo. */
  each: { image: number[]; text: number[] };
  image: number;
  text: number;
  both: number;
  sigmoid: number;
}

const LEAST = 1e-300; // a probability of nothing still has a logarithm

/** Every reading of photos x texts cosines at a logarithm of the scale, tau. */
export function readingsOf(
  cosines: ArrayLike<number>,
  photos: number,
  texts: number,
  tau: number,
  bias: number | null,
): Readings {
  const scale = Math.exp(tau);
  const cosine = Array.from({ length: photos }, (_, photo) =>
    Array.from({ length: texts }, (_, text) => cosines[photo * texts + text]),
  );
  const logits = cosine.map((row) => row.map((value) => value * scale + (bias ?? 0)));
  const columns = Array.from({ length: texts }, (_, text) =>
    softmax(logits.map((row) => row[text])),
  );
  return {
    cosine,
    logits,
    image_to_text: logits.map(softmax),
    text_to_image: cosine.map((row, photo) => row.map((_, text) => columns[text][photo])),
    sigmoid: logits.map((row) => row.map((value) => 1 / (1 + Math.exp(-value)))),
  };
}

/** The losses, where photo i belongs to text `pairs[i]`. */
export function lossesOf(readings: Readings, pairs: number[]): PairLosses {
  const { image_to_text, text_to_image, logits } = readings;
  const lossIn = (matrix: Matrix): number[] =>
    pairs.map((text, photo) => -Math.log(Math.max(matrix[photo][text], LEAST)));
  const [image, text] = [lossIn(image_to_text), lossIn(text_to_image)];
  const sigmoid = logits.map((row, photo) =>
    row.reduce((sum, value, other) => {
      const sign = pairs[photo] === other ? -1 : 1;
      return sum + Math.log1p(Math.exp(sign * value));
    }, 0),
  );
  return {
    each: { image, text },
    image: mean(image),
    text: mean(text),
    both: (mean(image) + mean(text)) / 2,
    sigmoid: mean(sigmoid),
  };
}

export const inOrder = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
export const isInOrder = (pairs: number[]): boolean => pairs.every((text, i) => text === i);

/** Other pairs than before, and not those that belong together. */
export function shufflePairs(pairs: number[], random: () => number = Math.random): number[] {
  const next = [...pairs];
  do {
    for (let i = next.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [next[i], next[j]] = [next[j], next[i]];
    }
  } while (next.join() === pairs.join() || isInOrder(next));
  return next;
}
