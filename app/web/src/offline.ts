// The program of a page that was taken home: the same views, around the run that lies in the page.
import { openGlossary } from './core/glossary';
import './core/resources';
import * as store from './core/store';
import { openTakenHome } from './offline/taken-home';
import { OFFLINE_VIEWS } from './offline/views';

openGlossary();
Object.assign(window, { VTE: { store } });
for (const [name, mount] of Object.entries(OFFLINE_VIEWS)) {
  const element = document.getElementById(name.replace('_', '-'));
  const nobody = () => {};
  if (element) mount({ element, props: {}, server: {}, trigger: nobody, watch: nobody });
}
openTakenHome();
