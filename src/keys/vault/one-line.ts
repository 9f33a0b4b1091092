const charactersMax = 300;

/** What another program says, so that it fits into a sentence: no line breaks, nothing that a terminal takes for a command, and not too long. */
export function oneLine(text: string): string {
  return text
    .replaceAll(/[\p{C}\s]+/gu, ' ')
    .trim()
    .slice(0, charactersMax);
}
