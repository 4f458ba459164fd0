// Package report shows what a load test measured: as a summary for a terminal,
// as a table for a pull request, and as a page with plots.
//
// All three say the same in the same words: the numbers of each client side by
// side, what it gained and what it cost compared with the first, and what the
// words mean.
//
// # The page
//
// [HTML] writes one file that needs nothing else: no server, no network. The
// plots are by uPlot 1.6.32, embedded with its licence. A policy in the page
// itself forbids it to load anything. Without scripts there are still all
// numbers, and no plots.
package report
