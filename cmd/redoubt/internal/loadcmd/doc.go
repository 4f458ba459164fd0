// Package loadcmd is redoubt load: it drives load against a dependency that fails
// on schedule, with several clients side by side, and shows what each gained and
// cost.
//
// Package engine runs and measures, package report shows; here is the command
// line, what it says while it runs, and the files it writes.
package loadcmd
