/**
 * The backend and the agent explain things in a clause or a sentence: on the page they begin with a capital and end
 * with a stop. A name in front ("vda: ...") stays as it is spelt.
 */
export function sentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === "") return "";
  const capital = /^[a-z]+[ ,]/.test(trimmed) ? trimmed.charAt(0).toUpperCase() + trimmed.slice(1) : trimmed;
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}
