// Package hg makes a working copy of a Mercurial repository, and keeps its
// contract: if [Run] succeeds, the destination is a clean working copy at
// exactly the revision that it reports; if not, the destination is as it was, or
// absent, and never half.
//
// The work is in the packages below, each readable on its own:
//
//	source      what may be asked for
//	classify    what a failure means
//	mirror      a guarded HTTP server
//	wire        what a server is and has
//	proxy       hg's requests, through the guard
//	bundle      downloads that resume
//	mercurial   runs of hg
//	remote      a source in use
//	store       how a repository is filled
//	checkout    the working copy
//	lock        who may do what at the same time
//	failure     how a run can fail
//	report      what a run says
//
// This package decides what follows what.
package hg
