// Package examples is the root of the module of example programs. Each
// directory below it is a command that is short enough to read at one sitting,
// with a test that runs it and checks what it prints.
package examples
