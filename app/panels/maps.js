// Pictures of the board: a map of one value (or colour) a patch or a token, and the patch or token itself, enlarged.
Object.assign(window.VTE, (() => {
  const { store, cividis, signed, gradient, element, number, extremes, board, rectangles, cellRectangle, patchesOf, at, kind, shown, pick, point, saveMap, saveButton } = window.VTE;
  const TALL = 190, LARGE = 48;  // pixels of the tallest map; cells from which on a map is shown larger

  // A map is {values, low, high, signed, unit} or {rgb, mask}, with its label. of: 'token', or else one a patch; first: the patch of the first value,
  // within: the rectangle of the board that is shown, where not all of it is, flags: patches that get a cross.
  function limits(map) {
    const [least, most] = extremes(map.values), low = map.low === undefined ? least : map.low, high = map.high === undefined ? most : map.high;
    if (!map.signed) return [low, high];
    const bound = Math.max(Math.abs(low), Math.abs(high));
    return [-bound, bound];
  }
  // 256 shades of each scale, made once: a map of thousands of cells is painted at every click.
  const shades = colour => Uint8Array.from(Array.from({ length: 256 }, (_, i) => colour(i / 255)).flat());
  const PLAIN = shades(cividis), SIGNED = shades(share => signed(2 * share - 1));
  // The whole board as an image, one pixel a cell, clear where the map says nothing.
  function paint(map) {
    const { record } = store.state, bytes = new Uint8ClampedArray(4 * record.rows * record.columns), [low, high] = map.values ? limits(map) : [0, 1];
    const tokens = map.of === 'token', cells = tokens ? record.token_cells : record.cells, merged = tokens ? record.token_cells.shape[1] : 1;
    const table = map.signed ? SIGNED : PLAIN, unit = 255 / (high - low || 1);
    const count = map.values ? map.values.length : map.rgb.length / 3, first = map.first || 0;
    for (let i = 0; i < count; i++) {
      if (map.mask && !map.mask[i]) continue;
      const from = map.values ? table : map.rgb, start = 3 * (map.values ? Math.min(255, Math.max(0, Math.round((map.values[i] - low) * unit))) : i);
      for (let k = 0; k < merged; k++) {
        const cell = cells[merged * (first + i) + k];
        if (cell >= 0) { bytes[4 * cell] = from[start]; bytes[4 * cell + 1] = from[start + 1]; bytes[4 * cell + 2] = from[start + 2]; bytes[4 * cell + 3] = 255; }
      }
    }
    return new ImageData(bytes, record.columns, record.rows);
  }
  // What a map says of a token and a patch in words, or nothing.
  function valueAt(map, token, patch) {
    const value = map && map.values ? map.values[map.of === 'token' ? token : patch - (map.first || 0)] : undefined;
    return value === undefined ? '' : number(value);
  }

  // The pointer hovers and selects in it as on the photo.
  class GridMap {
    constructor(host, label) {
      this.host = element('figure', 'map');
      this.caption = element('figcaption', '', label);
      this.frame = element('div', 'map-frame');
      this.canvas = element('canvas');
      this.canvas.setAttribute('role', 'img');
      this.canvas.setAttribute('aria-label', label);
      this.marks = element('div', 'map-marks');
      this.frame.append(this.canvas, this.marks);
      this.bar = element('div', 'map-bar');
      this.bar.append(element('span', 'low'), element('span', 'colours'), element('span', 'high'));
      this.save = saveButton('Save this map as a picture', () => saveMap(this));
      this.host.append(this.caption, this.save, this.frame, this.bar);
      host.append(this.host);
      this.frame.addEventListener('pointermove', event => point(this.at(event)));
      this.frame.addEventListener('pointerleave', () => point([-1, -1]));
      this.frame.addEventListener('click', event => pick(this.at(event), event));
    }
    window() {
      const { pictured, spoken } = board(store.state.record);
      return this.map.within || (this.map.of === 'token' ? spoken : pictured);
    }
    at(event) {
      const size = this.canvas.getBoundingClientRect(), [top, left, rows, columns] = this.window(), down = (event.clientY - size.top) / size.height, across = (event.clientX - size.left) / size.width;
      return down < 0 || across < 0 || down >= 1 || across >= 1 ? [-1, -1] : at(top + down * rows, left + across * columns);
    }
    show(map) {
      const { record } = store.state;
      this.map = map;
      this.host.hidden = !map || !record;
      if (this.host.hidden) return;
      const [top, left, rows, columns] = this.window();
      this.canvas.width = columns; this.canvas.height = rows;
      this.canvas.getContext('2d').putImageData(paint(map), -left, -top);
      this.frame.style.maxWidth = Math.round(TALL * columns / rows) + 'px';
      this.host.classList.toggle('large', Math.max(rows, columns) > LARGE);
      this.caption.textContent = map.label;
      this.canvas.setAttribute('aria-label', map.label);
      this.bar.hidden = !map.values;
      if (map.values) {
        const [low, high] = limits(map);
        this.bar.children[0].textContent = number(low); this.bar.children[2].textContent = number(high) + (map.unit ? ' ' + map.unit : '');
        this.bar.children[1].style.background = gradient(map.signed ? share => signed(2 * share - 1) : cividis);
      }
      this.mark();
    }
    // One outline a token, a thin one around the very patch.
    mark() {
      const { record, selected, hovered } = store.state;
      if (!this.map || !record) return;
      const [top, left, rows, columns] = this.window(), marks = (this.map.flags || []).map(patch => [cellRectangle(patch), 'flag']);
      for (const token of selected) for (const rectangle of rectangles(token)) marks.push([rectangle, 'mark']);
      if (hovered >= 0) for (const rectangle of rectangles(hovered)) marks.push([rectangle, 'mark hover']);
      const [token, patch] = shown();
      if (patch >= 0 && (token < 0 || patchesOf(token).length > 1)) marks.push([cellRectangle(patch), 'exact']);
      this.marks.replaceChildren(...marks.map(([[row, column, down, across], name]) => {
        const mark = element('span', name, name === 'flag' ? '×' : undefined);
        mark.style.left = 100 * (column - left) / columns + '%'; mark.style.top = 100 * (row - top) / rows + '%';
        mark.style.width = 100 * across / columns + '%'; mark.style.height = 100 * down / rows + '%';
        return mark;
      }));
    }
  }

  // The board as a picture, fetched once a record; `then` is called when it is there.
  const images = new Map();
  function boardImage(record, then) {
    let image = images.get(record.received);
    if (!image) {
      images.clear();
      image = new Image(); image.src = record.received;
      images.set(record.received, image);
    }
    if (image.complete && image.naturalWidth) then(image); else image.addEventListener('load', () => then(image), { once: true });
    return image;
  }
  // One patch, or all patches of a token, cut out of it and enlarged.
  function drawCut(canvas, [row, column, rows, columns], exact) {
    const { record } = store.state, pen = canvas.getContext('2d');
    boardImage(record, image => {
      const side = image.naturalWidth / record.columns, scale = Math.min(canvas.width / columns, canvas.height / rows);
      pen.clearRect(0, 0, canvas.width, canvas.height); pen.imageSmoothingEnabled = false;
      pen.drawImage(image, column * side, row * side, columns * side, rows * side, 0, 0, columns * scale, rows * scale);
      if (exact) { pen.lineWidth = 2; pen.strokeStyle = '#e8590c'; pen.strokeRect((exact[1] - column) * scale + 1, (exact[0] - row) * scale + 1, scale - 2, scale - 2); }
    });
  }
  const drawPatch = (canvas, patch) => drawCut(canvas, cellRectangle(patch));
  const SIGNS = { newline: '↵', query: '?', class: 'C' };
  function drawToken(canvas, token, patch) {
    const mine = patchesOf(token), areas = rectangles(token);
    if (mine.length) { drawCut(canvas, areas.length > 1 ? cellRectangle(patch) : areas[0], mine.length > 1 && areas.length === 1 && mine.includes(patch) ? cellRectangle(patch) : null); return; }
    const pen = canvas.getContext('2d');
    pen.fillStyle = '#808080'; pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.fillStyle = '#fff'; pen.font = canvas.height / 2 + 'px system-ui, sans-serif'; pen.textAlign = 'center'; pen.textBaseline = 'middle';
    pen.fillText(SIGNS[kind(store.state.record, token)] || '·', canvas.width / 2, canvas.height / 2);
  }
  return { GridMap, paint, valueAt, boardImage, drawPatch, drawToken, SIGNS };
})());
