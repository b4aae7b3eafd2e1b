// Numbers and strings as they are told.

export function percent(share: number): string {
  return `${percentDigits(share)}\u202f%`;
}

function percentDigits(share: number): string {
  if (share >= 0.9995) return '100';
  if (share >= 0.1) return (100 * share).toFixed(0);
  return share >= 0.001 ? (100 * share).toFixed(1) : '<0.1';
}

/** A token's string with what would not be seen in it made visible. */
export function visible(text: string): string {
  return text.replace(/\n/g, '↵').replace(/\t/g, '⇥').replace(/^ | $/g, '·');
}

export function number(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  if (size >= 1) return value.toFixed(2);
  return size >= 0.001 || !value ? value.toFixed(3) : value.toPrecision(2);
}

export const whole = (value: number): string => value.toLocaleString('en');
export const shape = (sizes: number[]): string => sizes.map(whole).join(' × ');

/** The least and the greatest of them; what is no number is left out. */
export function extremes(values: ArrayLike<number>): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  return [low, high];
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

/** How much more, or less, probable a change of the log-probability makes something. */
export function timesProbable(change: number): string {
  const times = change <= 0 ? Math.exp(-change) : Math.exp(change);
  return `${times.toPrecision(3)} times ${change <= 0 ? 'less' : 'more'} probable`;
}

export function softmax(values: number[]): number[] {
  const most = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - most));
  const sum = powers.reduce((one, other) => one + other, 0);
  return powers.map((power) => power / sum);
}
