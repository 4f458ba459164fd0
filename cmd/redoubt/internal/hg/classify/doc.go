// Package classify says what to do about a failure: of hg, by what it wrote to
// stderr, and of our own HTTP requests, by status or error.
//
// hg's exit status does not tell: a server that is down and a certificate that
// nobody trusts are both 100, and a cut connection, a full disk and an unrelated
// repository are all 255. Its messages do, taken together with what hg was
// doing. The patterns are those of Mercurial 6.3.2's messages.
package classify
