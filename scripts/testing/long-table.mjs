// The table that ends the long run, as docs/reliability.md has it.

/** Rows: `{ part, what, count, seconds, failed }`. */
export function longTable(rows) {
  const cells = rows.map(({ part, what, count, seconds, failed }) => [
    part,
    what,
    count.toLocaleString('en'),
    duration(seconds),
    failed === 0 ? 'none' : `**${failed}**`,
  ]);
  const lines = [['part', 'of', 'total', 'time', 'failures'], ...cells];
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const [head, ...body] = lines.map(
    (line) => `| ${line.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`,
  );
  return [head, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...body].join('\n');
}

function duration(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
