// Package hgcmd is the command "redoubt hg": flags, environment and output. What
// it does is in package hg.
package hgcmd
