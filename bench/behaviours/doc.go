// Package behaviours compares Redoubt with other ways to send HTTP requests
// with retries, by what they do rather than by how fast. Its tests run probes,
// each of one behaviour, against every library, over real connections on
// loopback, and hold the verdicts to those in table.md, which the README shows.
//
//	go test ./behaviours -run 'TestTable/034' -v
//
// runs one probe and says why a library failed it, and
//
//	go test ./behaviours -update
//
// writes the table anew, here and in the README.
//
// The numbers of probes are those of Redoubt's own tests: what
// TestTransport_034_… tests in depth, probe 034 asks of everybody.
package behaviours
