// Plotly, as far as the token space uses it: it draws the axes and reads zoom, lasso and clicks.

interface Met {
  curveNumber: number;
  pointNumber: number;
}

export interface PlotEvent {
  points: Met[];
  event: MouseEvent;
}

interface Axis {
  _offset: number;
  d2p: (value: number) => number;
}

export interface PlotElement extends HTMLElement {
  data: object[];
  layout: { xaxis: AxisLayout; yaxis: AxisLayout };
  on: (event: string, callback: (met: PlotEvent) => void) => void;
  /** There once Plotly has drawn. */
  _fullLayout?: {
    xaxis: Axis;
    yaxis: Axis;
    _size: { l: number; t: number; w: number; h: number };
  };
}

export interface AxisLayout {
  title: { text: string; font: { size: number; color?: string } };
  color: string;
}

export interface Plotly {
  react: (host: HTMLElement, data: object[], layout: object, config: object) => Promise<unknown>;
  toImage: (figure: object, options: object) => Promise<string>;
  Plots: { resize: (host: HTMLElement) => void };
}

/** Read it once what is drawn is in sight: it is five megabytes. */
export function readPlotly(address: string): Promise<Plotly> {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = address;
    script.onerror = reject;
    // a reference of our own: a gr.Plot would put another version into window.Plotly
    script.onload = () => resolve((window as unknown as { Plotly: Plotly }).Plotly);
    requestAnimationFrame(() => setTimeout(() => document.head.append(script)));
  });
}
