// The parts that pages are laid out with.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { useLocale } from '../locale';

interface PageProps {
  title: string;
  /** Above the title: where the page belongs. */
  trail?: ComponentChildren;
  /** Beside the title: state of the thing. */
  badges?: ComponentChildren;
  /** At the end of the title's line: buttons. */
  actions?: ComponentChildren;
  children: ComponentChildren;
}

/** A page: its title takes the focus when the page comes, so that a screen reader says where one is. */
export function Page(props: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  const { t } = useLocale();
  useEffect(() => {
    heading.current?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, []);
  useEffect(() => {
    document.title = `${props.title} · ${t.shell.name}`;
  }, [props.title, t]);
  return (
    <>
      <header class="page-head">
        {props.trail && <div class="trail">{props.trail}</div>}
        <div class="page-title">
          <h1 ref={heading} tabIndex={-1}>{props.title}</h1>
          {props.badges}
          {props.actions && <div class="actions">{props.actions}</div>}
        </div>
      </header>
      {props.children}
    </>
  );
}

interface SectionProps {
  title: string;
  /** For links to it: #id. */
  id?: string;
  lead?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
}

export function Section(props: SectionProps) {
  return (
    <section class="section" id={props.id}>
      <div class="section-head">
        <h2>{props.title}</h2>
        {props.lead && <p class="lead">{props.lead}</p>}
        {props.actions && <div class="actions">{props.actions}</div>}
      </div>
      {props.children}
    </section>
  );
}

/** Links to the sections of a long page: <Jumps to={[['plan', t.terms.plan]]} /> */
export function Jumps(props: { to: readonly (readonly [id: string, title: string])[] }) {
  const { t } = useLocale();
  return (
    <nav class="jumps" aria-label={t.shell.sections}>
      <ul>{props.to.map(([id, title]) => <li key={id}><a href={`#${id}`}>{title}</a></li>)}</ul>
    </nav>
  );
}

/** A surface for one thing. */
export function Panel(props: { children: ComponentChildren; class?: string }) {
  return <div class={`panel ${props.class ?? ''}`}>{props.children}</div>;
}

export type Tone = 'plain' | 'ok' | 'warn' | 'bad' | 'info';

/** A state, by its text and its colour. */
export function Badge(props: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`badge tone-${props.tone ?? 'plain'}`}>{props.children}</span>;
}

/** A message over a page. */
export function Notice(props: { tone: Tone; children: ComponentChildren }) {
  return <div class={`notice tone-${props.tone}`} role={props.tone === 'bad' ? 'alert' : 'status'}>{props.children}</div>;
}

interface StatProps {
  label: string;
  value: ComponentChildren;
  note?: ComponentChildren;
  tone?: Tone;
}

/** A number that one looks for first. Stats stand together in <Stats>. */
export function Stat(props: StatProps) {
  return (
    <div class="stat">
      <dt>{props.label}</dt>
      <dd class={`stat-value tone-${props.tone ?? 'plain'}`}>{props.value}</dd>
      {props.note && <dd class="stat-note">{props.note}</dd>}
    </div>
  );
}

export function Stats(props: { children: ComponentChildren }) {
  return <dl class="stats">{props.children}</dl>;
}

/** Names and values under each other: <Facts rows={[['Plan', …]]} /> */
export function Facts(props: { rows: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {props.rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A moment; the exact one, in UTC, shows when it is pointed at. */
export function Time(props: { at: string | null | undefined; as?: 'dateTime' | 'date' | 'time' | 'ago'; zone?: string }) {
  const { t, f } = useLocale();
  if (!props.at) return <span class="muted">{t.terms.none}</span>;
  const as = props.as ?? 'dateTime';
  const text = as === 'ago' ? f.ago(props.at) : f[as](props.at, props.zone);
  return <time dateTime={props.at} title={props.at}>{text}</time>;
}
