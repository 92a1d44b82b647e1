"""The program of the review page: shows one take at a time and collects decisions; writes nothing itself."""

SCRIPT = r"""
'use strict';
const data = JSON.parse(document.getElementById('data').textContent), takes = data.takes;
const COLOURS = ['#2a6f97', '#d1495b', '#2a9d8f', '#e9a03b', '#7b5ea7', '#5c7c3a', '#8a8a8a', '#222222'];
const $ = id => document.getElementById(id);
const decided = {};            // path -> {review, trim, outcome}
let k = 0, t = 0, timer = null, last = 0, films = [], urls = [], turn = [0.7, 0.5], scale = null;

function el(tag, text, cls) {
  const e = document.createElement(tag);
  if (text !== undefined && text !== null) e.textContent = text;
  if (cls) e.className = cls;
  return e;
}
function table(head, rows, classes) {
  const out = el('table'), top = el('tr');
  head.forEach(h => top.append(el('th', h)));
  out.append(top);
  rows.forEach(row => {
    const tr = el('tr');
    row.forEach((cell, i) => tr.append(el('td', cell, classes && classes[i])));
    out.append(tr);
  });
  return out;
}
const shown = (x, digits) => x === null || x === undefined ? '–' : (+x).toFixed(digits === undefined ? 1 : digits);
const read = take => ({ kept: take.kept, outcome: take.outcome, trim: take.trim });
const now = take => Object.assign(read(take), decided[take.path] || {});

function list() {
  $('list').replaceChildren(...takes.map((take, i) => {
    const row = el('div', '', i === k ? 'on' : ''), state = now(take);
    row.append(el('span', take.score === null ? '–' : take.score, 'score ' + (take.score >= 80 ? 'good' : 'bad')));
    const mark = (state.kept ? '' : '✗ ') + (decided[take.path] ? '* ' : '') + (take.outlier.length ? '! ' : '');
    row.append(mark + take.name + ' ', el('span', state.outcome, 'dim'));
    row.onclick = () => open(i);
    return row;
  }));
  $('count').textContent = takes.length + ', * decided, ! outlier, ✗ discarded';
  const on = $('list').children[k];
  if (on) on.scrollIntoView({ block: 'nearest' });
}
function open(i) {
  k = Math.max(0, Math.min(takes.length - 1, i));
  stop();
  const take = takes[k];
  $('name').textContent = take.name;
  urls.forEach(URL.revokeObjectURL);
  urls = [];
  films = take.films.map(f => {
    const bytes = Uint8Array.from(atob(f.data), c => c.charCodeAt(0)), v = document.createElement('video');
    urls.push(v.src = URL.createObjectURL(new Blob([bytes], { type: 'video/mp4' })));
    v.muted = true; v.preload = 'auto';
    v.onloadeddata = () => { v.currentTime = Math.max(0, t - f.at); };
    return { v, f };
  });
  $('films').replaceChildren(...films.map(({ v, f }) => {
    const figure = el('figure');
    figure.append(v, el('figcaption', f.name + (f.note ? ' (' + f.note + ')' : '')));
    return figure;
  }));
  $('notes').textContent = take.notes.join('; ');
  $('seek').max = take.seconds;
  $('quality').replaceChildren(table(['part', 'score', 'why'],
    take.parts.map(p => [p.name, p.score === null ? 'not measured' : (100 * p.score).toFixed(0), p.why]),
    ['', 'n', '']),
    ...take.outlier.map(o => el('div', o, 'bad')));
  const four = s => s === null ? '–' : s.map(x => x.toFixed(1)).join(' / ');
  $('problems').replaceChildren(...take.problems.map(p => el('div', p, 'bad')));
  $('topics').replaceChildren(table(
    ['topic', 'messages', 'lost', 'rate [Hz]', 'expected', 'gaps', 'longest [ms]', 'age p50/p95/p99/max [ms]',
      'skew [ms]', 'jitter [ms]'],
    take.topics.map(r => [r.topic, r.count, r.lost, shown(r.rate), shown(r.expected), r.gaps, shown(r.gap_max),
      four(r.age), four(r.skew), four(r.jitter)]), ['', 'n', 'n', 'n', 'n', 'n', 'n', 'n', 'n', 'n']));
  $('facts').replaceChildren(table(['what', ''], Object.entries(take.facts)));
  $('history').replaceChildren(table(['when', 'who', 'what', 'before', 'after'],
    take.history.map(h => [h.at, h.by, h.what, h.before, h.after])));
  $('plots').replaceChildren(...take.plots.map(p => {
    const figure = el('figure'), c = el('canvas');
    c.width = 470; c.height = 190; c.plot = p;
    c.onclick = e => go((e.offsetX - 44) / 416 * take.seconds);
    figure.append(c);
    return figure;
  }));
  go(0);
  refresh();
}
function refresh() {
  const take = takes[k], state = now(take);
  const trim = state.trim ? ', trimmed to ' + state.trim.map(x => x.toFixed(2)).join(' .. ') + ' s' : '';
  $('verdict').textContent = (take.score === null ? 'no score' : 'score ' + take.score) + ', '
    + (state.kept ? 'kept' : 'discarded') + ', ' + state.outcome + trim + ', ' + take.seconds.toFixed(1) + ' s';
  $('verdict').className = state.kept ? '' : 'bad';
  list(); draw(); commands();
}
function decide(change) {
  const take = takes[k], before = read(take);
  const all = Object.assign({}, decided[take.path], change);
  for (const key of Object.keys(all)) if (JSON.stringify(all[key]) === JSON.stringify(before[key])) delete all[key];
  if (Object.keys(all).length) decided[take.path] = all; else delete decided[take.path];
  refresh();
}
const quoted = s => /^[\w./-]+$/.test(s) ? s : "'" + s.replace(/'/g, "'\\''") + "'";
function commands() {
  $('commands').textContent = Object.entries(decided).map(([path, d]) => 'il review ' + quoted(path)
    + ('kept' in d ? (d.kept ? ' --keep' : ' --discard') : '') + ('outcome' in d ? ' --relabel ' + d.outcome : '')
    + ('trim' in d ? (d.trim ? ' --trim ' + d.trim.map(x => x.toFixed(3)).join(' ') : ' --untrim') : '')).join('\n')
    || '(no decision yet)';
}
function ns(take, s) { return (BigInt(take.start_ns) + BigInt(Math.round(s * 1e6)) * 1000n).toString(); }
function save() {
  const out = {};
  for (const take of takes) {
    const d = decided[take.path];
    if (!d) continue;
    out[take.path] = {};
    if ('kept' in d) out[take.path].review = d.kept ? 'keep' : 'discard';
    if ('outcome' in d) out[take.path].outcome = d.outcome;
    if ('trim' in d) out[take.path].trim_ns = d.trim ? d.trim.map(s => ns(take, s)) : ['0', '0'];
  }
  const a = el('a');
  a.href = URL.createObjectURL(new Blob([JSON.stringify({ format: data.format, decisions: out }, null, 1)]));
  a.download = 'review_decisions.json';
  a.click();
}
function go(s) {
  t = Math.max(0, Math.min(takes[k].seconds, s));
  films.forEach(({ v, f }) => { v.currentTime = Math.max(0, t - f.at); });
  show();
}
function show() {
  $('seek').value = t;
  $('now').textContent = t.toFixed(2) + ' s';
  draw();
}
function stop() {
  if (timer !== null) cancelAnimationFrame(timer);
  timer = null;
  films.forEach(({ v }) => v.pause());
  $('play').textContent = 'play';
}
function play() {
  if (timer !== null) return stop();
  if (t >= takes[k].seconds - 0.05) go(0);
  films.forEach(({ v }) => v.play().catch(() => {}));
  $('play').textContent = 'pause';
  last = performance.now();
  const step = at => {
    t += (at - last) / 1000; last = at;
    if (t >= takes[k].seconds) { t = takes[k].seconds; show(); return stop(); }
    show();
    timer = requestAnimationFrame(step);
  };
  timer = requestAnimationFrame(step);
}
function shade(g, x, y, h, w) {
  const trim = now(takes[k]).trim, S = takes[k].seconds;
  if (!trim) return;
  g.fillStyle = 'rgba(120,120,120,.25)';
  g.fillRect(x, y, w * trim[0] / S, h);
  g.fillRect(x + w * trim[1] / S, y, w * (1 - trim[1] / S), h);
}
function draw() {
  const take = takes[k], S = take.seconds || 1;
  const rows = Object.entries(take.gaps), c = $('timeline');
  c.height = 16 * rows.length + 6;
  let g = c.getContext('2d');
  g.font = '11px sans-serif';
  rows.forEach(([topic, spans], i) => {
    g.fillStyle = '#9db4c0'; g.fillRect(320, 16 * i + 3, 630, 10);
    g.fillStyle = '#d1495b';
    spans.forEach(([a, b]) => g.fillRect(320 + 630 * a / S, 16 * i + 3, Math.max(1, 630 * (b - a) / S), 10));
    g.fillStyle = '#222'; g.fillText(topic, 2, 16 * i + 12);
  });
  g.fillStyle = '#e9a03b';
  take.warned.forEach(([at]) => g.fillRect(320 + 630 * at / S, 0, 2, 16 * rows.length));
  shade(g, 320, 0, c.height, 630);
  g.fillStyle = '#000'; g.fillRect(320 + 630 * t / S, 0, 1, c.height);
  for (const figure of $('plots').children) plot(figure.firstChild, S);
  path();
}
function plot(c, S) {
  const g = c.getContext('2d'), p = c.plot, W = 416, H = 150, X = 44, Y = 20;
  if (!p.range) {
    const all = p.lines.flatMap(l => l[2]).filter(y => y !== null);
    let lo = all.reduce((a, b) => Math.min(a, b), Infinity), hi = all.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!(hi > lo)) { lo -= 1; hi += 1; }
    p.range = [lo, hi];
  }
  const [lo, hi] = p.range, sx = s => X + W * s / S, sy = y => Y + H * (1 - (y - lo) / (hi - lo));
  g.clearRect(0, 0, c.width, c.height);
  g.font = '11px sans-serif'; g.fillStyle = '#222';
  g.fillText(p.title + (p.unit ? ' [' + p.unit + ']' : ''), X, 12);
  g.fillText(hi.toPrecision(3), 2, Y + 8); g.fillText(lo.toPrecision(3), 2, Y + H);
  p.lines.forEach(([name, ts, ys], i) => {
    g.strokeStyle = COLOURS[i % COLOURS.length]; g.beginPath();
    let pen = false;
    ts.forEach((s, j) => {
      if (ys[j] === null) { pen = false; return; }
      if (pen) g.lineTo(sx(s), sy(ys[j])); else g.moveTo(sx(s), sy(ys[j]));
      pen = true;
    });
    g.stroke();
    g.fillStyle = g.strokeStyle;
    g.fillText(name.replace(/^.*_/, ''), X + 52 * (i % 8), Y + H + 14);
  });
  shade(g, X, Y, H, W);
  g.fillStyle = '#000'; g.fillRect(sx(t), Y, 1, H);
}
function path() {
  const c = $('path'), g = c.getContext('2d'), take = takes[k], P = take.path3d.p;
  g.clearRect(0, 0, c.width, c.height);
  if (!P.length) { g.fillText('no tool pose was recorded', 10, 20); return; }
  const mid = [0, 1, 2].map(i => (Math.min(...P.map(p => p[i])) + Math.max(...P.map(p => p[i]))) / 2);
  const size = Math.max(0.02, ...[0, 1, 2].map(i => Math.max(...P.map(p => p[i])) - Math.min(...P.map(p => p[i]))));
  const [a, b] = turn, ca = Math.cos(a), sa = Math.sin(a), cb = Math.cos(b), sb = Math.sin(b);
  const on = p => {
    const x = p[0] - mid[0], y = p[1] - mid[1], z = p[2] - mid[2], u = ca * x + sa * y, w = -sa * x + ca * y;
    const f = 230 / size;
    return [230 + f * w, 170 - f * (cb * z - sb * u)];
  };
  const line = (points, colour) => {
    g.strokeStyle = colour; g.beginPath();
    points.map(on).forEach(([x, y], i) => i ? g.lineTo(x, y) : g.moveTo(x, y));
    g.stroke();
  };
  line(P, '#9db4c0');
  const n = take.path3d.t.findIndex(s => s > t);
  line(P.slice(0, n < 0 ? P.length : n + 1), '#2a6f97');
  const o = [mid[0] - size / 2, mid[1] - size / 2, mid[2] - size / 2];
  ['#d1495b', '#2a9d8f', '#2a6f97'].forEach((colour, i) => {
    const end = o.slice(); end[i] += size / 5;
    line([o, end], colour);
    g.fillStyle = colour; g.fillText('xyz'[i], ...on(end));
  });
  const [x, y] = on(P[n < 0 ? P.length - 1 : n]);
  g.fillStyle = '#000'; g.beginPath(); g.arc(x, y, 4, 0, 7); g.fill();
  g.fillText(size.toFixed(2) + ' m across', 8, 334);
}
$('path').onpointermove = e => {
  if (e.buttons) { turn = [turn[0] + e.movementX / 100, turn[1] + e.movementY / 100]; path(); }
};
$('play').onclick = play;
$('seek').oninput = e => { stop(); go(+e.target.value); };
const KEYS = {
  j: () => open(k + 1), k: () => open(k - 1), ' ': play, a: () => decide({ kept: true }),
  d: () => decide({ kept: false }), s: () => decide({ outcome: 'success' }), f: () => decide({ outcome: 'failure' }),
  '[': () => decide({ trim: [t, Math.max(t + 0.1, (now(takes[k]).trim || [0, takes[k].seconds])[1])] }),
  ']': () => decide({ trim: [Math.min(t - 0.1, (now(takes[k]).trim || [0, 0])[0]), t].map(x => Math.max(0, x)) }),
  '0': () => decide({ trim: null }), u: () => { delete decided[takes[k].path]; refresh(); }, w: save,
};
document.onkeydown = e => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const step = { ArrowLeft: -0.1, ArrowRight: 0.1 }[e.key];
  if (step) { stop(); go(t + step * (e.shiftKey ? 10 : 1)); }
  else if (KEYS[e.key]) KEYS[e.key]();
  else return;
  e.preventDefault();
};
window.onbeforeunload = e => { if (Object.keys(decided).length) e.preventDefault(); };
open(0);
"""
