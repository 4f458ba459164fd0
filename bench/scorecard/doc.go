// Package scorecard asks whether Redoubt does its job. It holds the layers
// against published experiments, such as "The Tail at Scale" and the metastable
// failures of HotOS '21, and against the libraries that people use instead, on
// the same schedules.
//
// Experiments run in virtual time, in bubbles of testing/synctest, which tests
// alone can have; hence they are tests:
//
//	go test .            # ask all questions, and compare the verdicts
//	go test . -update    # and rewrite docs/scorecard.md
//
// A test fails if a verdict is not that of docs/scorecard.md. The arrivals and
// the ailments of dependencies are drawn from fixed seeds. The jitter of our own
// waits is not, so that figures may differ in the last digit from run to run;
// targets leave room for that.
//
// With the race detector, which makes all of it ten times as slow, only the rows
// that are quick are measured.
package scorecard
