// Addresses of pages. web.go answers each of them with the same file; isPage there has the same shapes.
import type { ComponentChildren } from 'preact';
import { path } from './http';
import { store, useStore } from './store';

export type Route =
  | { page: 'overview' | 'licenses' | 'billing' | 'operations' | 'cluster' | 'sign-in' | 'nowhere' }
  | { page: 'product'; product: string }
  | { page: 'device'; product: string; device: string };

export const to = {
  overview: '/',
  licenses: '/licenses',
  billing: '/billing',
  operations: '/operations',
  cluster: '/cluster',
  signIn: '/sign-in',
  product: (product: string) => path`/products/${product}`,
  device: (product: string, device: string) => path`/products/${product}/devices/${device}`,
};

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function routeOf(at: string): Route {
  switch (at) {
    case to.overview:
      return { page: 'overview' };
    case to.licenses:
      return { page: 'licenses' };
    case to.billing:
      return { page: 'billing' };
    case to.operations:
      return { page: 'operations' };
    case to.cluster:
      return { page: 'cluster' };
    case to.signIn:
      return { page: 'sign-in' };
  }
  const match = /^\/products\/([^/]+)(?:\/devices\/([^/]+))?$/.exec(at);
  if (!match) return { page: 'nowhere' };
  const product = decoded(match[1]!);
  return match[2] === undefined
    ? { page: 'product', product }
    : { page: 'device', product, device: decoded(match[2]) };
}

const here = store(location.pathname + location.search);

addEventListener('popstate', () => here.set(location.pathname + location.search));

/** Goes to an address of the console. */
export function go(address: string, how: 'push' | 'replace' = 'push'): void {
  if (how === 'push') history.pushState(null, '', address);
  else history.replaceState(null, '', address);
  here.set(location.pathname + location.search);
}

export function useRoute(): Route {
  useStore(here);
  return routeOf(location.pathname);
}

/**
 * A parameter of the address, '' if it is not there: what a page shows is in its address, so that it can be sent to
 * others. Setting it adds no step to the browser's history.
 */
export function useParameter(name: string): [string, (value: string) => void] {
  useStore(here);
  const set = (value: string) => {
    const search = new URLSearchParams(location.search);
    if (value) search.set(name, value);
    else search.delete(name);
    const text = search.toString();
    go(location.pathname + (text ? `?${text}` : ''), 'replace');
  };
  return [new URLSearchParams(location.search).get(name) ?? '', set];
}

interface LinkProps {
  to: string;
  class?: string;
  /** It leads to this page, or to one that this page belongs to. */
  current?: 'page' | 'true';
  children: ComponentChildren;
}

/** A link to a page of the console. With a modifier key the browser opens it as any other. */
export function Link(props: LinkProps) {
  const follow = (event: MouseEvent) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(props.to);
  };
  return (
    <a href={props.to} class={props.class} aria-current={props.current} onClick={follow}>
      {props.children}
    </a>
  );
}
