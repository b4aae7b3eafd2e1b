// The views of a page that was taken home: those that need no server.
import type { Mount } from '../core/panel';
import { mount as answer } from '../views/answer';
import { mount as connector } from '../views/connector';
import { mount as inspector } from '../views/inspector';
import { mount as received } from '../views/received';
import { mount as sequence } from '../views/sequence';
import { mount as stageStrip } from '../views/stage-strip';
import { mount as scatter } from './scatter';

export const OFFLINE_VIEWS: Record<string, Mount> = {
  answer,
  connector,
  inspector,
  received,
  scatter,
  sequence,
  stage_strip: stageStrip,
};
