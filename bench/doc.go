// Package bench measures Redoubt beside its rivals, in one run: what a call
// costs, how it scales, what it holds in memory and how promptly it ends. See
// README.md for the results and how to repeat them.
//
// It is a module of its own, so that the rivals never enter the module graph of
// a user.
package bench
