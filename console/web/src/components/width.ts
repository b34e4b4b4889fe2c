import { useEffect, useState } from 'preact/hooks';
import type { RefObject } from 'preact';

/**
 * The width that an element has, 0 before it is known. It is taken over with the next frame: drawn at once, it could
 * change the width again, of which browsers complain.
 */
export function useWidth(element: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const watched = element.current;
    if (!watched) return;
    let frame = 0;
    const resized = new ResizeObserver(() => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => setWidth(watched.clientWidth));
    });
    resized.observe(watched);
    return () => {
      cancelAnimationFrame(frame);
      resized.disconnect();
    };
  }, []);
  return width;
}
