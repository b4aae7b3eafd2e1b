// The views, by the name of their panel.
import type { Mount } from '../core/panel';
import { mount as answer } from './answer';
import { mount as beside } from './beside';
import { mount as checks } from './checks';
import { mount as connector } from './connector';
import { mount as encoder } from './encoder';
import { mount as experiments } from './experiments';
import { mount as facts } from './facts';
import { mount as failure } from './failure';
import { mount as feed } from './feed';
import { mount as history } from './history';
import { mount as inspector } from './inspector';
import { mount as instant } from './instant';
import { mount as ledger } from './ledger';
import { mount as lens } from './lens';
import { mount as lesson } from './lesson';
import { mount as looked } from './looked';
import { mount as patches } from './patches';
import { mount as photo } from './photo';
import { mount as positions } from './positions';
import { mount as received } from './received';
import { mount as sequence } from './sequence';
import { mount as similarity } from './similarity';
import { mount as space } from './space';
import { mount as stageStrip } from './stage-strip';
import { mount as status } from './status';
import { mount as takeHome } from './take-home';
import { mount as viewTabs } from './view-tabs';

export const VIEWS: Record<string, Mount> = {
  answer,
  beside,
  checks,
  connector,
  encoder,
  experiments,
  facts,
  failure,
  feed,
  history,
  inspector,
  instant,
  ledger,
  lens,
  lesson,
  looked,
  patches,
  photo,
  positions,
  received,
  sequence,
  similarity,
  space,
  stage_strip: stageStrip,
  status,
  take_home: takeHome,
  view_tabs: viewTabs,
};
