// What the tests of the console do in a page: find things as a person names them, and act on them as a person does.
addEventListener('securitypolicyviolation', (e) => {
  console.error(`the policy forbids ${e.violatedDirective} of ${e.blockedURI}: ${e.sample}`);
});

globalThis.person = (() => {
  const room = () => document.querySelector('dialog[open]') ?? document.body;
  const nameOf = (e) => (e.getAttribute('aria-label') ?? e.innerText).replace(/\s+/g, ' ').trim();
  const find = (selector, name) => [...room().querySelectorAll(selector)].find(
    (e) => e.checkVisibility() && !e.disabled && nameOf(e) === name,
  );
  const control = (label) => find('label', label)?.control ?? find('select[aria-label], input[aria-label]', label);
  const text = () => room().innerText;
  return {
    text,
    sees: (words) => text().toLowerCase().includes(words.toLowerCase()),
    has: (name) => !!find('button, a, summary', name),
    names: (selector) => [...room().querySelectorAll(selector)].filter((e) => e.checkVisibility()).map(nameOf),
    press(name) {
      const found = find('button, a, summary, label.switch', name);
      found?.click();
      return !!found;
    },
    focus(label) {
      const found = control(label);
      found?.focus();
      found?.select?.();
      return !!found;
    },
    choose(label, option) {
      const found = control(label);
      const value = [...(found?.options ?? [])].find((o) => o.text === option)?.value;
      if (value === undefined) return false;
      found.value = value;
      found.dispatchEvent(new Event('change', { bubbles: true }));
      return true;
    },
    focused: () => nameOf(document.activeElement) || document.activeElement?.labels?.[0]?.innerText || '',
    /** The page stands, and no part of it waits for an answer any more. */
    isSettled: () => !!document.querySelector('.shell main h1') && !/Loading…|正在加载…/.test(document.body.innerText),
  };
})();
