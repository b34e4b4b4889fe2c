// Controls with their labels.
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';

interface FieldProps {
  label: string;
  hint?: string;
  error?: string;
}

interface Wiring {
  id: string;
  'aria-describedby'?: string;
  'aria-invalid'?: boolean;
}

function Field(props: FieldProps & { children: (wiring: Wiring) => ComponentChildren }) {
  const id = useId();
  const described = [props.hint ? `${id}-hint` : '', props.error ? `${id}-error` : ''].join(' ').trim();
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {props.children({ id, 'aria-describedby': described || undefined, 'aria-invalid': props.error ? true : undefined })}
      {props.hint && <p class="field-hint" id={`${id}-hint`}>{props.hint}</p>}
      {props.error && <p class="field-error" id={`${id}-error`} role="alert">{props.error}</p>}
    </div>
  );
}

interface InputProps extends FieldProps {
  value: string;
  change: (value: string) => void;
  type?: 'text' | 'search' | 'date' | 'month' | 'datetime-local';
  isRequired?: boolean;
  /** Dots instead of letters; not type=password, which browsers offer to keep. */
  isMasked?: boolean;
  /** It has the focus when it comes. */
  isFocused?: boolean;
  maxLength?: number;
  placeholder?: string;
  autoComplete?: string;
}

export function Input({ label, hint, error, value, change, ...input }: InputProps) {
  const element = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (input.isFocused) element.current?.focus();
  }, []);
  return (
    <Field label={label} hint={hint} error={error}>
      {(wiring) => (
        <input
          {...wiring} type={(input.type ?? 'text') as 'text'} value={value} required={input.isRequired}
          ref={element} maxLength={input.maxLength} placeholder={input.placeholder} autoComplete={input.autoComplete ?? 'off'}
          spellcheck={false} class={input.isMasked ? 'masked' : undefined} onInput={(event) => change(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

interface NumberProps extends FieldProps {
  value: string;
  change: (value: string) => void;
  min?: number;
  max?: number;
  isRequired?: boolean;
}

/** A whole number, as text: what is typed may be no number yet. wholeNumber reads it. */
export function NumberInput({ label, hint, error, value, change, min, max, isRequired }: NumberProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(wiring) => (
        <input
          {...wiring} type="number" inputMode="numeric" class="number" value={value} min={min} max={max} step={1}
          required={isRequired} onInput={(event) => change(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

/** The whole number that text is, undefined if it is none from min to max. */
export function wholeNumber(text: string, min = 0, max = Number.MAX_SAFE_INTEGER): number | undefined {
  const n = /^\s*\d+\s*$/.test(text) ? Number(text) : NaN;
  return n >= min && n <= max ? n : undefined;
}

interface TextAreaProps extends FieldProps {
  value: string;
  change: (value: string) => void;
  rows?: number;
}

export function TextArea({ label, hint, error, value, change, rows = 4 }: TextAreaProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(wiring) => (
        <textarea
          {...wiring} value={value} rows={rows} spellcheck={false} autoComplete="off" class="mono"
          onInput={(event) => change(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

/** A whole number of something, as text, and of what: "5" of "Y". */
export interface Measure {
  amount: string;
  unit: string;
}

interface MeasureProps extends FieldProps {
  value: Measure;
  change: (value: Measure) => void;
  /** What the second control is, for those who do not see it. */
  unitLabel: string;
  units: readonly (readonly [value: string, text: string])[];
}

/** A number and its unit beside each other. */
export function MeasureInput({ label, hint, error, value, change, unitLabel, units }: MeasureProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(wiring) => (
        <div class="measure">
          <input
            {...wiring} type="number" inputMode="numeric" class="number" min={1} step={1} value={value.amount}
            onInput={(event) => change({ ...value, amount: event.currentTarget.value })}
          />
          <select
            aria-label={unitLabel} value={value.unit}
            onChange={(event) => change({ ...value, unit: event.currentTarget.value })}
          >
            {units.map(([unit, text]) => <option key={unit} value={unit}>{text}</option>)}
          </select>
        </div>
      )}
    </Field>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  change: (value: string) => void;
  /** Each with what it does. */
  options: readonly (readonly [value: string, text: string, hint: string])[];
}

/** One of a few, each with its explanation. */
export function Choice({ label, value, change, options }: ChoiceProps) {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend>{label}</legend>
      {options.map(([option, text, hint]) => (
        <label key={option}>
          <input type="radio" name={name} checked={value === option} onChange={() => change(option)} />
          <span>{text}<span class="field-hint">{hint}</span></span>
        </label>
      ))}
    </fieldset>
  );
}

/** Whether the API takes a text as the name of a product, device, account, producer or order. */
export function isName(text: string): boolean {
  return /^[\w.:-]{1,64}$/.test(text);
}

interface SelectProps extends FieldProps {
  value: string;
  change: (value: string) => void;
  options: readonly (readonly [value: string, text: string])[];
}

export function Select({ label, hint, error, value, change, options }: SelectProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(wiring) => (
        <select {...wiring} value={value} onChange={(event) => change(event.currentTarget.value)}>
          {options.map(([option, text]) => <option key={option} value={option}>{text}</option>)}
        </select>
      )}
    </Field>
  );
}

interface SwitchProps {
  label: string;
  isOn: boolean;
  change: (isOn: boolean) => void;
}

export function Switch({ label, isOn, change }: SwitchProps) {
  return (
    <label class="switch">
      <input type="checkbox" role="switch" checked={isOn} onChange={(event) => change(event.currentTarget.checked)} />
      {label}
    </label>
  );
}
