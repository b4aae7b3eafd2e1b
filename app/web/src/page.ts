// The page's program: what runs in the browser before any panel is there.
import type { Ahead } from './ahead';
import { focusPatch } from './core/board';
import { openGlossary } from './core/glossary';
import { receive } from './core/inbox';
import { live } from './core/live';
import type { Panel } from './core/panel';
import './core/resources';
import * as store from './core/store';
import { unpack } from './core/wire';
import { begin, bring, fail, sight, succeed, watchRuns } from './page/failures';
import { address, came, watchLink } from './page/permalink';
import { watchQueue } from './page/queue';
import { showShipped } from './page/shipped';
import { VIEWS } from './views';

function mount(name: string, panel: Panel): void {
  VIEWS[name](panel);
}

openGlossary();
watchRuns();
watchQueue();
watchLink();
// What Gradio's events and the lines that mount the panels call, and what tests look at.
const page = {
  store: { ...store, receive, unpack },
  mount,
  live,
  focusPatch,
  link: { address, came },
  sight,
  begin,
  bring,
  fail,
  succeed,
};
const { waiting } = (window as unknown as { VTE: Ahead }).VTE;
Object.assign(window, { VTE: page });
for (const [name, given] of waiting) {
  const asked = page[name as keyof typeof page] as (...given: unknown[]) => void;
  asked(...given);
}
showShipped();
