// What is seen as a file: a map or a plot as a PNG with its title, a text as it is. Made in the browser.
Object.assign(window.VTE, (() => {
  const { store, element } = window.VTE;
  const SIDE = 640, EDGE = 16, LINE = 20;  // pixels of a picture: its content, around it, a line of text

  // The name of a file begins with the question.
  function saveFile(ending, blob) {
    const slug = text => text.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '').slice(0, 40), { record } = store.state;
    const link = element('a'), address = URL.createObjectURL(blob), [rest, kind] = ending.split(/\.(?=[a-z]+$)/);
    link.href = address; link.download = [record && slug(record.question), slug(rest)].filter(Boolean).join('-') + '.' + kind;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }
  // A white sheet with a title, as wide as its content; `draw` gets the pen with the content's corner at 0, 0.
  function sheet(title, width, height, draw, below = 0) {
    const canvas = element('canvas'), pen = canvas.getContext('2d'), words = title.split(' '), lines = [''];
    pen.font = '14px system-ui, sans-serif';
    for (const word of words) { const longer = (lines[lines.length - 1] + ' ' + word).trim(); if (lines[lines.length - 1] && pen.measureText(longer).width > width) lines.push(word); else lines[lines.length - 1] = longer; }
    canvas.width = width + 2 * EDGE; canvas.height = height + 2 * EDGE + LINE * lines.length + below;
    pen.fillStyle = '#fff'; pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.fillStyle = '#111'; pen.font = '14px system-ui, sans-serif'; pen.textBaseline = 'top';
    lines.forEach((line, i) => pen.fillText(line, EDGE, EDGE + LINE * i));
    pen.translate(EDGE, EDGE + LINE * lines.length);
    draw(pen);
    canvas.toBlob(blob => saveFile(title + '.png', blob), 'image/png');
  }
  // A map, enlarged by whole pixels, with what is selected in it and its scale.
  function saveMap({ canvas, marks, bar, map }) {
    const times = Math.max(1, Math.floor(SIDE / Math.max(canvas.width, canvas.height))), width = canvas.width * times, height = canvas.height * times, scale = !bar.hidden;
    sheet(map.label, width, height, pen => {
      pen.imageSmoothingEnabled = false; pen.drawImage(canvas, 0, 0, width, height);
      for (const mark of marks.querySelectorAll('.mark:not(.hover)')) {
        const [x, y, w, h] = ['left', 'top', 'width', 'height'].map((side, i) => parseFloat(mark.style[side]) / 100 * (i % 2 ? height : width));
        for (const [colour, wide] of [['#fff', 5], ['#e8590c', 2.5]]) { pen.strokeStyle = colour; pen.lineWidth = wide; pen.strokeRect(x, y, w, h); }
      }
      if (!scale) return;
      const [low, , high] = [...bar.children].map(each => each.textContent), room = pen.measureText(low).width + 8, after = pen.measureText(high).width + 8;
      pen.fillStyle = '#111'; pen.fillText(low, 0, height + 8); pen.textAlign = 'right'; pen.fillText(high, width, height + 8);
      const across = Math.max(0, width - room - after), shades = getComputedStyle(bar.children[1]).backgroundImage.match(/rgb\([^)]*\)/g) || ['#888', '#888'], blend = pen.createLinearGradient(room, 0, room + across, 0);
      shades.forEach((shade, i) => blend.addColorStop(i / Math.max(1, shades.length - 1), shade));
      pen.fillStyle = blend; pen.fillRect(room, height + 10, across, 12);
    }, scale ? LINE + 8 : 0);
  }
  // Pictures that lie on each other, the lowest first, all of one size.
  function saveLayers(title, layers, width, height) {
    sheet(title, width, height, pen => { for (const layer of layers) if (layer) pen.drawImage(layer, 0, 0, width, height); });
  }
  function saveButton(label, save, text = '⤓') {
    const button = element('button', 'save-picture', text);
    button.type = 'button'; button.title = 'Save this picture (PNG)'; button.setAttribute('aria-label', label);
    button.addEventListener('click', save);
    return button;
  }
  return { saveFile, saveMap, saveLayers, saveButton };
})());
