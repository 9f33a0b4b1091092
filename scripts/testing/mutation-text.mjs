// Finds and replaces C++ text whatever its line breaks and indentation are, so that formatting does not outdate a mutation.

/** `source` with the one place that reads as `find` replaced. Throws when there is none, or more than one. */
export function mutate(source, find, replace) {
  const positions = [];
  let bare = '';
  for (let at = 0; at < source.length; at += 1) {
    if (/\s/.test(source[at])) continue;
    bare += source[at];
    positions.push(at);
  }
  const wanted = find.replaceAll(/\s+/g, '');
  const at = bare.indexOf(wanted);
  if (wanted === '' || at < 0) throw new Error('its text is not there any more');
  if (bare.indexOf(wanted, at + 1) >= 0) throw new Error('its text is there more than once');
  return source.slice(0, positions[at]) + replace + source.slice(positions[at + wanted.length - 1] + 1);
}
