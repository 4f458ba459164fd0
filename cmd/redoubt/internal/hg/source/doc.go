// Package source judges what redoubt hg is given from outside before anything
// is done with it: URLs of repositories and bundles, revisions, destinations.
//
// Mercurial reads options out of operands, programs out of ssh URLs and whole
// configurations out of scheme names. What passes here can't be mistaken for
// any of them, and its secrets don't show when it is printed.
package source
