import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Loading } from './state';

const early = '300px';

/** Renders its children once they come near the window: for what is dear to ask for and stands far down. */
export function WhenSeen({ children }: { children: () => ComponentChildren }) {
  const place = useRef<HTMLDivElement>(null);
  const [isSeen, setSeen] = useState(false);
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) setSeen(true);
    }, { rootMargin: early });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return isSeen ? <>{children()}</> : <div ref={place}><Loading /></div>;
}
