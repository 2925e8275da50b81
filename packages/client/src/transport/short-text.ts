/** What a server answers is read no further than it may go. */

/** The text of an answer of at most so many octets. `null`: it has more, and the rest is not read. */
export async function shortText(response: Response, most: number): Promise<string | null> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (let octets = 0; ; ) {
    const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
    if (done) return text + decoder.decode();
    octets += value.length;
    if (octets > most) {
      await reader?.cancel();
      return null;
    }
    text += decoder.decode(value, { stream: true });
  }
}
