// Package web is the console: pages for people, which work on the API alone. The daemon carries them.
//
//	src (TypeScript) ──► make web ──► dist ──► embed ──► Pages ──┬─► /, /products/…, /sign-in …: index.html
//	                                                            ├─► /assets/HASH/…: script, styles, icon
//	                                                            └─► any other path: the API's handler
//	browser ── index.html ──► script ──► /v1/…, /prometheus/…, with the token that its tab keeps
//
// Invariants:
//
//   - Pages need no token and hold nothing of anybody: what they show, the script asks the API for.
//   - A page's path has a known shape, or the API's handler answers: no path of the API is hidden, and what exists
//     nowhere is not found.
//   - Every answer has a content security policy that lets the page take nothing but what this daemon sends, and run no
//     script and use no style that stands in a page.
//   - An asset's address names the content of all assets, so a browser keeps it and a new daemon's page never meets an
//     old script.
//   - dist is what src gives: make web-check builds it again and compares every byte.
//
// README.md says how a page is written.
package web
