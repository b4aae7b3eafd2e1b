// Stands in the page before the program is there, which is a file of its own: what is asked of it
// meanwhile waits for it.
export interface Ahead {
  waiting: [name: string, given: unknown[]][];
}

const NAMES = ['mount', 'sight', 'begin', 'bring', 'fail', 'succeed'];
const waiting: Ahead['waiting'] = [];
const asked = NAMES.map((name) => {
  const wait = (...given: unknown[]): void => void waiting.push([name, given]);
  return [name, wait] as const;
});
Object.assign(window, {
  VTE: { waiting, link: { came: location.hash }, ...Object.fromEntries(asked) },
});
