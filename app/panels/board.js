// The board in the browser: which cell is which patch, which patches make which token, and where all that is in the photo, in words.
// Cells, rows and columns are those of `record` (see `layout.layout`); a rectangle is [row, column, rows, columns] in cells. `pictured` is the
// part of the board that holds patches, `spoken` the part that holds tokens.
Object.assign(window.VTE, (() => {
  const { store } = window.VTE;
  const boards = new WeakMap();

  // What is looked up at every move of the pointer, made once a record.
  function board(record) {
    if (!boards.has(record)) boards.set(record, build(record));
    return boards.get(record);
  }
  function build(record) {
    const { rows, columns, cells, token_cells, token_patches, pictures } = record, tokens = token_cells.shape[0], merged = token_cells.shape[1];
    const patchAt = new Int32Array(rows * columns).fill(-1), tokenAt = new Int32Array(rows * columns).fill(-1), tokenOf = new Int32Array(cells.length).fill(-1), pictureOf = new Int32Array(cells.length);
    cells.forEach((cell, patch) => { patchAt[cell] = patch; });
    pictures.forEach(({ rectangle: [top, left, down, across] }, picture) => {
      for (let row = top; row < top + down; row++) for (let column = left; column < left + across; column++) { const patch = patchAt[row * columns + column]; if (patch >= 0) pictureOf[patch] = picture; }
    });
    const rectangles = [], patches = [];
    for (let token = 0; token < tokens; token++) {
      const at = Array.from(token_cells.subarray(merged * token, merged * (token + 1))).filter(cell => cell >= 0), width = token_patches.shape[1];
      for (const cell of at) if (tokenAt[cell] < 0) { tokenAt[cell] = token; if (patchAt[cell] >= 0) tokenOf[patchAt[cell]] = token; }
      rectangles.push(around(at, columns));
      patches.push(Array.from(token_patches.subarray(width * token, width * (token + 1))).filter(patch => patch >= 0));
    }
    const tiled = new Set(pictures.filter(picture => picture.tile).map(picture => picture.photo));
    const closest = picture => pictures[picture].tile || !tiled.has(pictures[picture].photo);  // not the small copy beside tiles
    const pictured = bounds(pictures.map(picture => picture.rectangle)), spoken = bounds(rectangles.flat());
    return { patchAt, tokenAt, tokenOf, pictureOf, rectangles, patches, closest, pictured, spoken };
  }
  // The smallest rectangle around all of them.
  function bounds(all) {
    const top = Math.min(...all.map(each => each[0])), left = Math.min(...all.map(each => each[1]));
    return [top, left, Math.max(...all.map(each => each[0] + each[2])) - top, Math.max(...all.map(each => each[1] + each[3])) - left];
  }
  // The rectangle that cells fill, or one rectangle a cell where they fill none.
  function around(cells, columns) {
    const rows = cells.map(cell => Math.floor(cell / columns)), across = cells.map(cell => cell % columns);
    const top = Math.min(...rows), left = Math.min(...across), down = Math.max(...rows) - top + 1, wide = Math.max(...across) - left + 1;
    return down * wide === cells.length ? [[top, left, down, wide]] : cells.map((cell, i) => [rows[i], across[i], 1, 1]);
  }

  const kind = (record, token) => record.kinds[record.token_kinds[token]];
  const patchesOf = token => board(store.state.record).patches[token];
  const rectangles = token => board(store.state.record).rectangles[token];
  const tokenOf = patch => board(store.state.record).tokenOf[patch];
  function cellRectangle(patch) {
    const { cells, columns } = store.state.record;
    return [Math.floor(cells[patch] / columns), cells[patch] % columns, 1, 1];
  }
  // [token, patch] at a row and column of the board, -1 where there is none.
  function at(row, column) {
    const { record } = store.state;
    if (!record || row < 0 || column < 0 || row >= record.rows || column >= record.columns) return [-1, -1];
    const { patchAt, tokenAt } = board(record), cell = Math.floor(row) * record.columns + Math.floor(column);
    return [tokenAt[cell], patchAt[cell]];
  }
  // Boxes are (top, left, bottom, right) in pixels of the photos side by side; null where there is no place.
  function boxOf(token) {
    const { boxes } = store.state.record, box = Array.from(boxes.subarray(4 * token, 4 * token + 4));
    return Number.isNaN(box[0]) ? null : box;
  }
  function patchBox(patch) {
    const { record } = store.state, { rectangle: [top, left, rows, columns], box: [t, l, b, r] } = record.pictures[board(record).pictureOf[patch]], [row, column] = cellRectangle(patch);
    const h = (b - t) / rows, w = (r - l) / columns;
    return [t + (row - top) * h, l + (column - left) * w, t + (row - top + 1) * h, l + (column - left + 1) * w];
  }

  // The patch that is looked at: the one that was clicked, if it belongs to the token in focus, else the token's first; -1: it has none.
  function focusPatch() {
    const { record, patch } = store.state, token = store.focus();
    if (!record) return -1;
    if (token < 0) return patch;
    const mine = patchesOf(token);
    return mine.includes(patch) ? patch : mine.length ? mine[0] : -1;
  }
  // The token and the patch that are told about: those under the pointer, or else those in focus.
  function shown() {
    const { hovered, under } = store.state;
    if (hovered < 0 && under < 0) return [store.focus(), focusPatch()];
    return [hovered, under >= 0 || !patchesOf(hovered).length ? under : patchesOf(hovered)[0]];
  }

  const KINDS = {
    newline: 'a newline token: the same learned vector ends every row, so that the language model knows where one begins; it is made of no patch',
    query: 'a query token: a learned question to the whole photo; it has no place of its own',
    class: 'the encoder’s own position for a whole picture (CLS), which the language model reads too; it is made of no patch',
  };
  const kindWords = token => KINDS[kind(store.state.record, token)] || 'a token that is made of no patch; it has no place of its own';
  const short = value => String(Math.round(value * 10) / 10);
  function boxWords(box, photo) {
    const { photos } = store.state.record, { left, size: [height, width] } = photos[photo], inside = (value, most) => Math.min(Math.max(value, 0), most);
    const [t, b] = [box[0], box[2]].map(value => inside(value, height)), [l, r] = [box[1], box[3]].map(value => inside(value - left, width));
    return (photos.length > 1 ? 'photo ' + (photo + 1) + ', ' : '') + (b > t && r > l ? 'pixels ' + short(l) + '–' + short(r) + ' across, ' + short(t) + '–' + short(b) + ' down' : 'in the margin that was added around the photo');
  }
  function patchWords(patch) {
    const { record } = store.state, picture = board(record).pictureOf[patch], [top, left] = record.pictures[picture].rectangle, [row, column] = cellRectangle(patch);
    return 'row ' + (row - top) + ', column ' + (column - left) + (record.pictures.length > 1 ? ' of ' + pictureName(picture) : '');
  }
  function pictureName(picture) {
    const { pictures, photos } = store.state.record, { name, photo } = pictures[picture];
    return (photos.length > 1 ? 'photo ' + (photo + 1) + ', ' : '') + name;
  }
  // What and where a token is, or a patch of which no token is made.
  function where(token, patch) {
    const { record } = store.state;
    if (token < 0) return 'patch ' + patch + ' · ' + patchWords(patch) + ' · ' + boxWords(patchBox(patch), record.pictures[board(record).pictureOf[patch]].photo) + ' · no visual token is made of it';
    const mine = patchesOf(token), box = boxOf(token), photo = record.token_photos[token];
    if (!mine.length) return 'visual token ' + token + ' · ' + kindWords(token) + (record.photos.length > 1 ? ' · photo ' + (photo + 1) : '');
    const exact = mine.includes(patch) ? patch : mine[0], pixels = box ? ' · ' + boxWords(box, photo) : '';
    if (mine.length === 1) return (exact === token ? '' : 'visual token ' + token + ' · ') + 'patch ' + exact + ' · ' + patchWords(exact) + pixels;
    return 'visual token ' + token + pixels + ' · patch ' + exact + ', one of its ' + mine.length + ', ' + patchWords(exact);
  }

  // The next token on the board in the direction of an arrow key: straight on, over gaps, else the nearest that lies that way; -1: none.
  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  function neighbour(token, key) {
    const { record } = store.state, [down, across] = STEPS[key], [[row, column, rows, columns]] = rectangles(token);
    let r = down > 0 ? row + rows - 1 : row, c = across > 0 ? column + columns - 1 : column;
    for (r += down, c += across; r >= 0 && c >= 0 && r < record.rows && c < record.columns; r += down, c += across) {
      const [next] = at(r, c);
      if (next >= 0 && next !== token) return next;
    }
    let best = -1, least = Infinity;
    board(record).rectangles.forEach(([[top, left, high, wide]], other) => {
      const along = down ? down * (top + high / 2 - row - rows / 2) : across * (left + wide / 2 - column - columns / 2), beside = down ? Math.abs(left - column) : Math.abs(top - row);
      const beyond = down > 0 ? top >= row + rows : down < 0 ? top + high <= row : across > 0 ? left >= column + columns : left + wide <= column;
      if (other !== token && beyond && beside <= along && along + beside < least) { best = other; least = along + beside; }
    });
    return best;
  }
  return { board, kind, patchesOf, rectangles, tokenOf, cellRectangle, at, boxOf, patchBox, focusPatch, shown, where, kindWords, boxWords, pictureName, neighbour, STEPS };
})());
