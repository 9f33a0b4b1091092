/** The few pieces of SVG that the plots are drawn with; readable on a light page and on a dark one. */

/** What text and lines are coloured by: classes, so that the reader's theme decides. */
const light = { ink: '#24292f', faint: '#57606a', grid: '#d8dee4', page: '#ffffff' };
const dark = { ink: '#e6edf3', faint: '#9198a1', grid: '#30363d', page: '#0d1117' };

/** Of lines, in order: ours first. */
const hues = [
  { light: '#1f6feb', dark: '#58a6ff' },
  { light: '#bc4c00', dark: '#f0883e' },
  { light: '#1a7f37', dark: '#3fb950' },
  { light: '#8250df', dark: '#bc8cff' },
  { light: '#57606a', dark: '#9198a1' },
  { light: '#bf3989', dark: '#f778ba' },
];

function styleOf(theme: 'light' | 'dark'): string {
  const { ink, faint, grid, page } = theme === 'light' ? light : dark;
  return [
    `.page{fill:${page}}.ink{fill:${ink}}.faint{fill:${faint}}.whisker{stroke:${ink}}`,
    `.grid{stroke:${grid}}.ours{fill:${hues[0]?.[theme]}}.peer{fill:${faint};opacity:.6}.limit{fill:${grid}}`,
    ...hues.map((hue, at) => `.line${at}{stroke:${hue[theme]}}.name${at}{fill:${hue[theme]}}`),
  ].join('');
}

export function svgDocument(width: number, height: number, content: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="13">`,
    `<style>${styleOf('light')}@media(prefers-color-scheme:dark){${styleOf('dark')}}</style>`,
    `<rect width="${width}" height="${height}" class="page"/>`,
    ...content,
    '</svg>',
    '',
  ].join('\n');
}

/** A class of the `index`th line, for its stroke (`line`) or its text (`name`). */
export function hueClass(kind: 'line' | 'name', index: number): string {
  return `${kind}${index % hues.length}`;
}

export interface TextStyle {
  size?: number;
  weight?: number;
  className?: string;
  anchor?: 'start' | 'middle' | 'end';
}

export function text(x: number, y: number, content: string, style: TextStyle = {}): string {
  const { size, weight, className = 'ink', anchor } = style;
  const attributes = [
    `class="${className}"`,
    ...(size === undefined ? [] : [`font-size="${size}"`]),
    ...(weight === undefined ? [] : [`font-weight="${weight}"`]),
    ...(anchor === undefined ? [] : [`text-anchor="${anchor}"`]),
  ];
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes.join(' ')}>${escaped(content)}</text>`;
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
