import { useEffect, useRef, useState } from 'preact/hooks';

/** How long nobody must have typed before what was typed is taken. */
const quietMs = 400;

/** What is being typed into a filter, and what sets it: change hears of it once the typing pauses, if it fits. */
export function useTyped(
  value: string, change: (value: string) => void, fits: (text: string) => boolean,
): [text: string, type: (text: string) => void, isWrong: boolean] {
  const [text, setText] = useState(value);
  const taken = useRef(value);
  if (taken.current !== value) { // It was changed from elsewhere.
    taken.current = value;
    setText(value);
  }
  const isWrong = text !== '' && !fits(text);
  useEffect(() => {
    if (text === taken.current || isWrong) return;
    const timer = setTimeout(() => {
      taken.current = text;
      change(text);
    }, quietMs);
    return () => clearTimeout(timer);
  }, [text, isWrong]);
  return [text, (next) => setText(next.trim()), isWrong];
}
