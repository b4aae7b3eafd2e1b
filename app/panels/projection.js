// Visual and text tokens in one plane. Value: {method, explained, visual: {points, colours, norms, columns}, text: {points, strings, norms, roles}}.
const P = window.Plotly;  // a copy of our own: a gr.Plot on the page would put another version into window.Plotly
const { send, on, element: make, visible } = window.VTE;
const plot = element.querySelector('.plot'), caption = element.querySelector('.caption');
let data = null, selected = [], hovered = -1, listening = false;

// Rings are moved over the plot instead of restyling it: that takes no measurable time.
function place(ring, token) {
  const layout = plot._fullLayout, [x, y] = data.visual.points[token];
  ring.style.left = layout.xaxis._offset + layout.xaxis.d2p(x) + 'px';
  ring.style.top = layout.yaxis._offset + layout.yaxis.d2p(y) + 'px';
}
function rings() {
  for (const old of plot.querySelectorAll('.ring')) old.remove();
  element.dataset.selected = selected.join(',');
  if (!data || !plot._fullLayout) return;
  const marks = selected.filter(token => token < data.visual.points.length).map(token => [token, 'ring']);
  if (hovered >= 0 && !selected.includes(hovered)) marks.push([hovered, 'ring hover']);
  for (const [token, name] of marks) { const ring = make('div', name); ring.dataset.token = token; place(ring, token); plot.append(ring); }
}
function escape(text) {  // Plotly reads hover texts as a little HTML
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}
function draw() {
  if (!props.value || !props.value.visual) return;
  data = props.value; hovered = -1;  // the selection stays: another method or theme shows the same tokens, and a new photo's grid clears it
  const { visual, text } = data, ink = getComputedStyle(element).getPropertyValue('--body-text-color').trim() || '#333';
  const xs = points => points.map(point => point[0]), ys = points => points.map(point => point[1]);
  const traces = [
    { name: 'visual tokens', x: xs(visual.points), y: ys(visual.points), type: 'scatter', mode: 'markers',
      marker: { size: 9, color: visual.colours, line: { color: ink, width: 0.8 } }, hoverinfo: 'text',
      text: visual.norms.map((norm, i) => 'patch ' + i + ' (row ' + Math.floor(i / visual.columns) + ', column ' + i % visual.columns + ')<br>length ' + norm) },
    { name: 'text tokens', x: xs(text.points), y: ys(text.points), type: 'scatter', mode: 'markers',
      marker: { size: 9, symbol: 'diamond', color: '#0072b2', line: { color: '#fff', width: 1 } }, hoverinfo: 'text',
      text: text.strings.map((string, i) => '“' + escape(visible(string)) + '” (' + text.roles[i] + ')<br>length ' + text.norms[i]) },
  ];
  const pca = data.method === 'pca', share = i => pca && data.explained.length ? ' (' + (100 * data.explained[i]).toFixed(1) + ' % of the variance)' : '';
  const axis = title => ({ title: { text: title, font: { size: 11 } }, zeroline: false, gridcolor: 'rgba(128,128,128,.2)', color: ink, tickfont: { size: 10 } });
  P.react(plot, traces, {
    margin: { l: 44, r: 8, t: 8, b: 40 }, hovermode: 'closest', paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', font: { color: ink },
    xaxis: axis((pca ? 'PCA 1' : 'UMAP 1') + share(0)), yaxis: axis((pca ? 'PCA 2' : 'UMAP 2') + share(1)),
    legend: { orientation: 'h', y: 1.06, x: 0 }, showlegend: true, uirevision: data.method,
  }, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ['autoScale2d', 'select2d'] }).then(() => {
    if (!listening) {
      listening = true;
      plot.on('plotly_click', event => { const point = event.points[0]; if (point.curveNumber === 0) send('select', { tokens: [point.pointNumber], source: 'projection' }); });
      plot.on('plotly_selected', event => { if (event) send('select', { tokens: event.points.filter(point => point.curveNumber === 0).map(point => point.pointNumber), source: 'projection' }); });
      plot.on('plotly_hover', event => { const point = event.points[0]; if (point.curveNumber === 0) send('hover', { token: point.pointNumber }); });
      plot.on('plotly_unhover', () => send('hover', { token: -1 }));
      plot.on('plotly_afterplot', rings);
      plot.on('plotly_relayouting', rings);
    }
    rings();
    element.dataset.ready = String(+(element.dataset.ready || 0) + 1);
  });
  const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;
  caption.textContent = 'Each dot is a visual token in the mean colour of its patch, each diamond a token of the prompt. Mean length: visual ' +
    mean(visual.norms).toFixed(2) + ', text ' + mean(text.norms).toFixed(2) + '.' +
    (pca ? '' : ' UMAP keeps neighbours together; distances between groups mean little.');
}
on('select', ({ tokens }) => { selected = tokens.slice(); rings(); });
on('hover', ({ token }) => { hovered = token; rings(); });
new MutationObserver(() => { if (data) draw(); }).observe(document.body, { attributes: true, attributeFilter: ['class'] });  // light and dark
watch('value', draw);
draw();
